//! The server that the crowd comes to.

use std::ops::Deref;

use ipc_core::{Channel, Received, abi::ChannelFlags};

use crate::serving::Serving;

/// Echoes until it is dropped.
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
    if let Received::Message(message) = received
        && let Ok(bytes) = message.read_vec(0, message.len())
    {
        // A client that was killed in between is no longer blocked.
        let _ = message.reply(0, &bytes);
    }
}
