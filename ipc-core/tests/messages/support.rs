//! A channel of this process with a connection to it, and who serves it.

use std::sync::Arc;

use ipc_core::{
    Channel, Connection, Received, ReceivedMessage,
    abi::{ChannelFlags, Nd, Pid, Pulse, PulseCode},
};

pub(crate) fn channel(flags: ChannelFlags) -> (Arc<Channel>, Connection) {
    let channel = Arc::new(Channel::create(flags).unwrap());
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    (channel, connection)
}

pub(crate) fn message(received: Received) -> ReceivedMessage {
    match received {
        Received::Message(message) => message,
        Received::Pulse(pulse) => panic!("unexpected {pulse:?}"),
    }
}

pub(crate) fn pulse(received: Received) -> Pulse {
    match received {
        Received::Pulse(pulse) => pulse,
        Received::Message(message) => panic!("unexpected {:?}", message.info()),
    }
}

/// Answers every message with its own bytes until a pulse comes.
pub(crate) fn echo(channel: &Channel) {
    while let Received::Message(message) = channel.receive().unwrap() {
        let bytes = message.read_vec(0, message.len()).unwrap();
        message.reply(bytes.len() as i64, &bytes).unwrap();
    }
}

pub(crate) fn stop(channel: &Channel) {
    channel.send_pulse(0, PulseCode(0), 0).unwrap();
}
