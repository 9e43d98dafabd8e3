//! The server that survives, and what the tests look at.

use std::{fs, ops::Deref, os::fd::RawFd, path::PathBuf, thread, time::Duration};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Chid, Nd, Pid},
};

use crate::serving::Serving;

/// Echoes until it is dropped; keeps a message of one byte unanswered.
pub(crate) struct Server(Serving);

impl Server {
    pub(crate) fn start() -> Server {
        Server(Serving::start(ChannelFlags::empty(), echo))
    }
}

impl Deref for Server {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.0
    }
}

fn echo(_: &Channel, received: Received) {
    let Received::Message(message) = received else {
        return;
    };
    if message.len() == 1 {
        message.into_rcvid();
    } else if let Ok(bytes) = message.read_vec(0, message.len()) {
        // A client that was killed in between is no longer blocked.
        let _ = message.reply(0, &bytes);
    }
}

/// Sends through a connection and has the message echoed.
pub(crate) fn must_echo(connection: &Connection) {
    let mut reply = [0; 5];
    let answer = connection.send(b"hello", &mut reply);
    answer.expect("it is answered");
    assert_eq!(&reply, b"hello");
}

pub(crate) fn connect(pid: Pid, chid: Chid) -> Connection {
    Connection::attach(Nd::LOCAL, pid, chid).expect("it accepts")
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("it is mounted")
        .count()
}

/// The numbers of this process's descriptors that are `what` in the words of the kernel.
pub(crate) fn numbers_of(what: &str) -> Vec<RawFd> {
    let open = fs::read_dir("/proc/self/fd").expect("it is mounted");
    let paths = open.flatten().map(|entry| entry.path());
    let is_one =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|leads_to| leads_to.as_os_str() == what);
    let number = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
    paths.filter(is_one).filter_map(number).collect()
}

/// Waits until so many clients of a process are REPLY-blocked.
pub(crate) fn until_reply_blocked(pid: Pid, count: usize) {
    until(|| {
        let said = ipc_core::snapshot(pid).expect("it lives and is our own");
        let blocked = said.channels.iter().map(|channel| channel.reply_blocked);
        blocked.sum::<usize>() == count
    });
}

/// Waits for what comes by itself.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::sleep(Duration::from_millis(1));
    }
}
