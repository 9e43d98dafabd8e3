//! The trace: one line of JSON for each message of a walk, in the file that `QNET_TRACE` names.
//!
//! Client library, process manager and qnet append to the same file; a line goes out in one write, so
//! that lines of several processes do not mix. Without the variable an event costs one load.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    abi::{Chid, Nd, Pid},
    sys::{descriptor::Descriptor, fork::Lasting},
};

/// The environment variable that names the file.
pub const VARIABLE: &str = "QNET_TRACE";

/// A message that was sent and answered, or received and answered.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Who writes the line: `client`, `procmgr` or `qnet`.
    pub who: &'a str,
    /// The step of the walk: `1`, `2`, `2a`, `3` or `4`.
    pub step: &'a str,
    /// The server's node.
    pub nd: Nd,
    /// The server's process.
    pub pid: Pid,
    /// The server's channel.
    pub chid: Chid,
    /// The other node's name, where one is involved and known.
    pub node: Option<&'a str>,
    /// The message, as a person reads it.
    pub message: &'a str,
    /// Bytes sent.
    pub sent_len: usize,
    /// Bytes that came back.
    pub reply_len: usize,
    /// The outcome, as a person reads it.
    pub result: &'a str,
    /// From sending to the answer.
    pub elapsed: Duration,
}

/// Whether events are written. The file is opened by the first who asks.
pub fn is_on() -> bool {
    file().is_some()
}

/// The time now, if events are written: the start of one.
pub fn start() -> Option<Instant> {
    is_on().then(Instant::now)
}

/// Where events go: `file` is `None` if there is no path, or nothing can be opened there.
struct Trace {
    path: Option<PathBuf>,
    file: Option<Descriptor>,
}

/// Appends an event. A line that cannot be written is lost: a trace never stops the work.
pub fn write(event: &Event<'_>) {
    if let Some(file) = file() {
        let line = line(event, monotonic_ns(), Pid::current());
        // A line that has no room on the disk is lost.
        let _ = nix::unistd::write(file.as_fd(), line.as_bytes());
    }
}

/// Writes events to the file at `path`, whatever the environment says. To be called before the first
/// event; the first choice counts.
///
/// # Errors
/// The file cannot be opened for appending.
pub fn to_file(path: &Path) -> io::Result<()> {
    let trace = Trace {
        path: Some(path.to_owned()),
        file: Some(open(path)?),
    };
    TRACE.get_or_make(|_| true, || trace);
    Ok(())
}

static TRACE: Lasting<Trace> = Lasting::new();

/// The file, opened anew where the program closed it, and in a forked child.
fn file() -> Option<&'static Descriptor> {
    let is_good = |trace: &Trace| trace.file.as_ref().is_none_or(|file| file.raw().is_ok());
    let of_now = || {
        let from_environment = || std::env::var_os(VARIABLE).map(PathBuf::from);
        let path = match TRACE.get() {
            Some(before) => before.path.clone(),
            None => from_environment().filter(|path| !path.as_os_str().is_empty()),
        };
        let file = path.as_deref().and_then(|path| open(path).ok());
        Trace { path, file }
    };
    TRACE.get_or_make(is_good, of_now).file.as_ref()
}

fn open(path: &Path) -> io::Result<Descriptor> {
    let file = File::options().append(true).create(true).open(path)?;
    Descriptor::keep(file.into()).map_err(io::Error::from)
}

/// The clock that all processes of the machine share.
fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| Duration::from(now).as_nanos() as u64)
}

fn line(event: &Event<'_>, time_ns: u64, writer: Pid) -> String {
    let node = event
        .node
        .map_or_else(String::new, |node| format!("\"node\":{},", quoted(node)));
    format!(
        "{{\"t_ns\":{time_ns},\"who\":{},\"pid\":{writer},\"step\":{},\"nd\":{},\"spid\":{},\"chid\":{},{node}\
         \"msg\":{},\"sbytes\":{},\"rbytes\":{},\"result\":{},\"us\":{:.1}}}\n",
        quoted(event.who),
        quoted(event.step),
        event.nd,
        event.pid,
        event.chid,
        quoted(event.message),
        event.sent_len,
        event.reply_len,
        quoted(event.result),
        event.elapsed.as_nanos() as f64 / 1000.0,
    )
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json() {
        let event = Event {
            who: "client",
            step: "2",
            nd: Nd(0),
            pid: Pid(77),
            chid: Chid(1),
            node: Some("magenta"),
            message: "_IO_CONNECT open \"a\nb\\\"",
            sent_len: 60,
            reply_len: 48,
            result: "ENOENT",
            elapsed: Duration::from_nanos(12_345),
        };
        assert_eq!(
            line(&event, 5, Pid(9)),
            "{\"t_ns\":5,\"who\":\"client\",\"pid\":9,\"step\":\"2\",\"nd\":0,\"spid\":77,\"chid\":1,\
             \"node\":\"magenta\",\"msg\":\"_IO_CONNECT open \\\"a\\u000ab\\\\\\\"\",\"sbytes\":60,\"rbytes\":48,\
             \"result\":\"ENOENT\",\"us\":12.3}\n"
        );
    }
}
