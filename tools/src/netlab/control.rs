//! The control socket of a lab: its name, and how orders, answers and descriptors cross it.
//!
//! The socket has an abstract name: it exists as long as the supervisor does, and no longer.

use std::collections::BTreeSet;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg, sockopt,
};
use nix::unistd::{Pid, Uid};

use super::protocol::{Answer, Order};
use super::sys;

/// Descriptors that may come with an answer: a packet socket for each of the most nodes.
const FDS_MAX: usize = 64;

/// The address of a lab's control socket; labs of different users never meet.
///
/// # Errors
/// The name of the lab is too long.
pub(super) fn address(lab: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("{}{lab}", prefix()))
}

fn prefix() -> String {
    format!("netlab/{}/", real_uid())
}

/// The user this process was before it made, perhaps, a user namespace for a lab.
fn real_uid() -> u32 {
    static FIRST: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *FIRST.get_or_init(|| Uid::effective().as_raw())
}

/// The names of this user's running labs.
pub(super) fn running_labs() -> BTreeSet<String> {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let prefix = format!("@{}", prefix());
    let paths = sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(7));
    paths
        .filter_map(|path| path.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect()
}

/// A way to give one order to a lab's supervisor.
pub(super) struct Control {
    stream: UnixStream,
    lab: String,
    supervisor: Pid,
}

impl Control {
    /// Connects to the supervisor of a lab.
    ///
    /// # Errors
    /// There is no such lab, or it is somebody else's.
    pub(super) fn connect(lab: &str) -> io::Result<Control> {
        let stream = UnixStream::connect_addr(&address(lab)?).map_err(|error| {
            let running: Vec<String> = running_labs().into_iter().collect();
            let others = match (running.as_slice(), std::env::var("NETLAB_NODE")) {
                (_, Ok(node)) => format!("This is node {node}; labs are led from outside of them"),
                ([], _) => "None is running; start one with: netlab up".to_owned(),
                (names, _) => format!("Running: {} (choose with --lab)", names.join(", ")),
            };
            // Nobody listens: the usual case, in which the system's words would only puzzle.
            let why = match error.kind() {
                io::ErrorKind::ConnectionRefused => String::new(),
                _ => format!(": {error}"),
            };
            io::Error::new(error.kind(), format!("no lab {lab:?}{why}. {others}"))
        })?;
        let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
        if peer.uid() != Uid::effective().as_raw() {
            let text = format!("lab {lab:?}: user {} answers in its place", peer.uid());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Control {
            stream,
            lab: lab.to_owned(),
            supervisor: Pid::from_raw(peer.pid()),
        })
    }

    /// Pid of the supervisor.
    pub(super) fn supervisor(&self) -> Pid {
        self.supervisor
    }

    /// Gives the order and waits for the answer and what descriptors come with it.
    ///
    /// # Errors
    /// The order was not carried out, or the supervisor died.
    pub(super) fn order(mut self, order: &Order) -> io::Result<(Answer, Vec<OwnedFd>)> {
        let text = serde_json::to_vec(order).map_err(io::Error::other)?;
        self.stream.write_all(&text)?;
        self.stream.shutdown(Shutdown::Write)?;
        let (text, fds) = take_answer(&self.stream)?;
        if text.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "the supervisor of lab {:?} ended before it answered",
                    self.lab
                ),
            ));
        }
        match serde_json::from_slice(&text).map_err(io::Error::other)? {
            Answer::Failed { why } => Err(io::Error::other(why)),
            answer => Ok((answer, fds)),
        }
    }
}

/// Waits until process `pid` is gone, and with it, if it is a supervisor, all of its lab.
pub(super) fn wait_gone(pid: Pid) {
    if let Ok(process) = sys::pidfd_open(pid) {
        let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        while poll(&mut ended, PollTimeout::NONE) == Err(nix::Error::EINTR) {}
    }
}

/// Sends an answer and descriptors beside it.
///
/// # Errors
/// The other side is gone.
pub(super) fn put_answer(
    mut stream: &UnixStream,
    answer: &Answer,
    fds: &[OwnedFd],
) -> io::Result<()> {
    let text = serde_json::to_vec(answer).map_err(io::Error::other)?;
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    let parts = [IoSlice::new(&text)];
    let sent = sendmsg::<()>(
        stream.as_raw_fd(),
        &parts,
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    stream.write_all(&text[sent..])
}

fn take_answer(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut text, mut fds) = (Vec::new(), Vec::new());
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let mut control = nix::cmsg_space!([RawFd; FDS_MAX]);
        let mut parts = [IoSliceMut::new(&mut chunk)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = control {
                fds.extend(sys::own_received(received));
            }
        }
        match message.bytes {
            0 => return Ok((text, fds)),
            len => text.extend_from_slice(&chunk[..len]),
        }
    }
}
