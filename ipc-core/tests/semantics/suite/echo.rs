//! Channels and connections as most tests need them.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Received, ReceivedMessage,
    abi::{ChannelFlags, Chid, Pid, PulseCode, Scoid},
};

use crate::suite::place;

/// The pulse that ends a server thread.
const STOP: PulseCode = PulseCode(127);

/// A test whose other side died early fails after this long instead of waiting for ever.
const GIVE_UP: Duration = Duration::from_secs(60);

/// A channel without flags.
pub(crate) fn channel() -> Channel {
    place::create(ChannelFlags::empty())
}

/// A connection to a channel of this process.
pub(crate) fn connect(chid: Chid) -> Connection {
    place::attach(Pid::SELF, chid).expect("the channel can be attached to")
}

/// The next message; a pulse is a mistake.
pub(crate) fn message(channel: &Channel) -> ReceivedMessage {
    match channel.receive_timeout(GIVE_UP) {
        Ok(Received::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    }
}

/// Has the connection carry a message, so that the server knows it. Answers what the server calls the
/// client.
pub(crate) fn introduce(channel: &Channel, connection: &Connection) -> Scoid {
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"here I am", &mut []));
        let message = message(channel);
        let scoid = message.info().scoid;
        message.reply(0, b"").expect("the client waits");
        client.join().expect("no panic").expect("it was answered");
        scoid
    })
}

/// The next pulse; a message is a mistake.
pub(crate) fn pulse(channel: &Channel) -> ipc_core::abi::Pulse {
    match channel.receive_timeout(GIVE_UP) {
        Ok(Received::Pulse(pulse)) => pulse,
        other => panic!("not a pulse: {other:?}"),
    }
}

/// A thread that gives every message of its channel to a function, until it is dropped.
pub(crate) struct Server {
    pub(crate) chid: Chid,
    stop: Connection,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves a channel with these flags.
    pub(crate) fn start(
        flags: ChannelFlags,
        mut serve: impl FnMut(ReceivedMessage) + Send + 'static,
    ) -> Server {
        let channel = place::create(flags);
        let (chid, stop) = (channel.chid(), connect(channel.chid()));
        let thread = thread::spawn(move || {
            loop {
                match channel.receive().expect("the channel lives") {
                    Received::Message(message) => serve(message),
                    Received::Pulse(pulse) if pulse.code == STOP => return,
                    Received::Pulse(_) => {}
                }
            }
        });
        Server {
            chid,
            stop,
            thread: Some(thread),
        }
    }

    /// Replies with what it gets, and its length as the status.
    pub(crate) fn echo() -> Server {
        Server::start(ChannelFlags::empty(), |message| {
            let bytes = message
                .read_vec(0, message.len())
                .expect("the client waits");
            message
                .reply(bytes.len() as i64, &bytes)
                .expect("the client waits");
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop
            .send_pulse(Some(0), STOP, 0)
            .expect("there is room for one pulse");
        let ended = self.thread.take().expect("dropped once").join();
        if !thread::panicking() {
            ended.expect("the server thread does not panic");
        }
    }
}
