//! Both ends of a call with 64 bytes each way, checked in the timed run.

use ipc_core::{Channel, Connection};

use crate::method::{Side, silent, timed};
use crate::payload::{self, SMALL_LEN};
use crate::products::receive_message;

/// Receives a message and replies with the same.
pub(super) fn answering(channel: Channel) -> Box<dyn Side> {
    silent(move |number| {
        let message = receive_message(&channel)?;
        let mut bytes = [0; SMALL_LEN];
        message.read(0, &mut bytes)?;
        payload::check_small(&bytes, number)?;
        Ok(message.reply(0, &bytes)?)
    })
}

/// Sends a message and waits for the same.
pub(super) fn asking(connection: Connection) -> Box<dyn Side> {
    timed(move |number| {
        let mut reply = [0; SMALL_LEN];
        connection.send(&payload::small(number), &mut reply)?;
        payload::check_small(&reply, number)
    })
}
