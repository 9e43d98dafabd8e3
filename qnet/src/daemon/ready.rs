//! What a daemon tells whoever started it, a person, a script or a service manager: that it is ready, and that it stops.
//!
//! To a service manager it speaks sd_notify's protocol: a datagram of `KEY=VALUE` lines to the socket that
//! `NOTIFY_SOCKET` names.

use std::{
    env,
    ffi::OsStr,
    fmt::Display,
    io::{self, Write},
    os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt, unix::net},
};

/// Prints `ready: <what>` as one line on standard output and, when `NOTIFY_SOCKET` names a service
/// manager's socket, tells it `READY=1` (sd_notify's protocol).
///
/// Neither failing stops a daemon that works: nobody listens, and that is only logged.
pub fn notify_ready(what: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "ready: {what}").and_then(|()| out.flush()) {
        tracing::warn!("the ready line could not be printed: {error}");
    }
    tell_manager(&format!("READY=1\nSTATUS={what}\n"));
}

/// When `NOTIFY_SOCKET` names a service manager's socket, tells it `STOPPING=1`. Comes before any of the work is
/// undone.
pub fn notify_stopping(why: &impl Display) {
    tell_manager(&format!("STOPPING=1\nSTATUS=stopping: {why}\n"));
}

fn tell_manager(text: &str) {
    if let Some(name) = env::var_os("NOTIFY_SOCKET")
        && let Err(error) = notify(&name, text)
    {
        tracing::warn!("the service manager at NOTIFY_SOCKET={name:?} was not told: {error}");
    }
}

fn notify(name: &OsStr, text: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', rest @ ..] => net::SocketAddr::from_abstract_name(rest)?,
        _ => net::SocketAddr::from_pathname(name)?,
    };
    let socket = net::UnixDatagram::unbound()?;
    socket.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_manager_is_told_through_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = net::UnixDatagram::bind(&path).unwrap();
        notify(path.as_os_str(), "READY=1\n").unwrap();

        let mut text = [0; 64];
        let len = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..len], b"READY=1\n");
    }

    #[test]
    fn an_absent_service_manager_is_an_error_and_no_panic() {
        assert!(notify(OsStr::new("/nonexistent/notify"), "x").is_err());
    }
}
