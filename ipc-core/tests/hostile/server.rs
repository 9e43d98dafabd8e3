//! The server that is attacked, and the honest client beside the attacker.

use std::ops::Deref;

use ipc_core::{
    BatchReply, BatchedMessage, Channel, Connection, MessageBatch, Received, ReceivedMessage,
    abi::{ChannelFlags, Nd, Pid, Result},
};

use crate::serving::{STOP, Serving};

/// Messages that a server takes in one batch: fewer than its clients have in flight, so that its batches are full
/// at times.
const BATCH: usize = 24;

/// Echoes messages, and reads and writes at every edge of each before it does.
pub(crate) struct Server(Serving);

impl Server {
    pub(crate) fn start() -> Server {
        Server(Serving::start(ChannelFlags::empty(), serve))
    }

    /// A server that receives in batches and answers most of them together.
    pub(crate) fn in_batches() -> Server {
        Server(Serving::run(ChannelFlags::empty(), serve_batches))
    }

    /// Attaches an honest client and has it served.
    pub(crate) fn must_serve(&self) {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, self.chid());
        must_echo(&connection.expect("the server still accepts"), 1);
    }

    pub(crate) fn faults(&self) -> u64 {
        self.channel.stats().faults
    }
}

impl Deref for Server {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.0
    }
}

/// Sends messages of several sizes, which must come back as they are.
pub(crate) fn must_echo(connection: &Connection, salt: u8) {
    for len in [0, 5, 80, 81, 3000] {
        let message: Vec<u8> = (0..len).map(|at| at as u8 ^ salt).collect();
        let mut reply = vec![0; len];
        let answer = connection
            .send(&message, &mut reply)
            .expect("it is answered");
        assert_eq!((answer.status, answer.len), (len as i64, len));
        assert!(reply == message, "an honest client's bytes were changed");
    }
}

fn serve(_: &Channel, received: Received) {
    if let Received::Message(message) = received {
        echo(message);
    }
}

fn echo(message: ReceivedMessage) {
    let len = message.len();
    // A client that was cut off in between is no longer blocked: that is its own affair.
    let bytes = message.read_vec(0, usize::MAX).unwrap_or_default();
    let _ = message.read(len.saturating_sub(1), &mut [0; 9]);
    let _ = message.write(message.reply_len_max().saturating_sub(1), b"?");
    let _ = message.info();
    let _ = message.reply(bytes.len() as i64, &bytes);
}

/// As [`serve`]; every third batch is taken apart, and answered from the last message to the first.
fn serve_batches(channel: &Channel) {
    let mut batch = MessageBatch::with_capacity(BATCH);
    for round in 0_u32.. {
        match channel
            .receive_batch(&mut batch)
            .expect("the channel lives")
        {
            Some(pulse) if pulse.code == STOP => return,
            Some(_) => {}
            None if round.is_multiple_of(3) => {
                batch.take_messages().into_iter().rev().for_each(echo);
            }
            None => {
                batch
                    .reply_each(echo_batched)
                    .expect("no status is negative");
            }
        }
    }
}

fn echo_batched(message: &BatchedMessage<'_>, reply: &mut BatchReply<'_>) -> Result<i64> {
    let mut bytes = vec![0; message.len()];
    let len = message.read(0, &mut bytes)?;
    let _ = message.read(message.len().saturating_sub(1), &mut [0; 9]);
    let _ = message.info();
    reply.append(&bytes[..len]);
    Ok(len as i64)
}
