//! A channel of this process, and a thread that serves a number of its messages.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Received, ReceivedMessage,
    abi::{ChannelFlags, Nd, Pid},
};

/// A test whose other side died early fails after this long instead of waiting for ever.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(60);

pub(crate) fn pair() -> (Arc<Channel>, Connection) {
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).expect("a channel can be made"));
    let connection = connect(&channel);
    (channel, connection)
}

pub(crate) fn connect(channel: &Channel) -> Connection {
    Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).expect("the channel is there")
}

pub(crate) fn message(channel: &Channel) -> ReceivedMessage {
    match channel.receive_timeout(GIVE_UP) {
        Ok(Received::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    }
}

/// Gives the next message to `serve`, on a thread of its own.
pub(crate) fn serve_one<T: Send + 'static>(
    channel: &Arc<Channel>,
    serve: impl FnOnce(ReceivedMessage) -> T + Send + 'static,
) -> JoinHandle<T> {
    let channel = Arc::clone(channel);
    thread::spawn(move || serve(message(&channel)))
}
