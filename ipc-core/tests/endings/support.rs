//! A channel, connections to it, and what the tests look at.

use std::{fs, thread, time::Duration};

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, MessageBatch, Received, ReceivedMessage,
    abi::{ChannelFlags, Nd, Pid},
};

/// A test whose other side died early fails after this long instead of waiting for ever.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(60);

pub(crate) fn channel() -> Channel {
    Channel::create(ChannelFlags::empty()).expect("a channel can be made")
}

pub(crate) fn connect(channel: &Channel) -> Connection {
    Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).expect("the channel is there")
}

/// A connection whose answers come out of `queue`.
pub(crate) fn connect_with_queue(channel: &Channel, queue: &CompletionQueue) -> Connection {
    let options = AttachOptions {
        queue: Some(queue),
        ..AttachOptions::default()
    };
    let attached = Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options);
    attached.expect("the channel is there")
}

pub(crate) fn message(channel: &Channel) -> ReceivedMessage {
    match channel.receive_timeout(GIVE_UP) {
        Ok(Received::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    }
}

/// The messages that are there, at least one.
pub(crate) fn batch(channel: &Channel) -> MessageBatch {
    let mut batch = MessageBatch::with_capacity(8);
    let pulse = channel.receive_batch_timeout(&mut batch, GIVE_UP);
    assert_eq!(pulse, Ok(None), "a batch of messages");
    batch
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("it is mounted")
        .count()
}

/// Waits for what comes by itself; a test that would hang fails.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + GIVE_UP;
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it never came: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Connections that a channel of this process has.
pub(crate) fn connections(channel: &Channel) -> usize {
    let said = ipc_core::snapshot(Pid::current()).expect("it is our own");
    let mut channels = said.channels.iter();
    let ours = channels.find(|said| said.chid == channel.chid());
    ours.expect("it lives").connections
}
