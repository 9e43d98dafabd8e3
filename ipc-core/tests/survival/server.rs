//! A server in a thread, and what the tests look at.

use std::{
    fs,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Chid, Nd, Pid, PulseCode},
};

const STOP: PulseCode = PulseCode(127);

/// Echoes until it is dropped; keeps a message of one byte unanswered.
pub(crate) struct Server {
    pub(crate) channel: Arc<Channel>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let channel = Channel::create(ChannelFlags::empty()).expect("a channel can be made");
        let channel = Arc::new(channel);
        let serving = Arc::clone(&channel);
        Server {
            channel,
            thread: Some(thread::spawn(move || serve(&serving))),
        }
    }

    pub(crate) fn chid(&self) -> Chid {
        self.channel.chid()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.channel.send_pulse(0, STOP, 0).expect("there is room");
        let ended = self.thread.take().expect("dropped once").join();
        if !thread::panicking() {
            ended.expect("the server does not panic");
        }
    }
}

fn serve(channel: &Channel) {
    loop {
        match channel.receive().expect("the channel lives") {
            Received::Pulse(pulse) if pulse.code == STOP => return,
            Received::Pulse(_) => {}
            Received::Message(message) if message.len() == 1 => drop(message.into_rcvid()),
            Received::Message(message) => {
                // A client that was killed in between is no longer blocked.
                if let Ok(bytes) = message.read_vec(0, message.len()) {
                    let _ = message.reply(0, &bytes);
                }
            }
        }
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
