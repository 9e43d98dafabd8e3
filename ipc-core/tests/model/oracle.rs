//! What must happen, as plainly as it can be said.

use std::collections::BTreeMap;

use ipc_core::abi::Errno;

/// Names a message for its client and for the oracle.
pub(crate) type Token = u64;

/// The state that a channel must be in.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Whether REPLY-blocked clients that want out stay (CHN-2).
    pub(crate) keeps_unblocking: bool,
    /// In order of arrival.
    queue: Vec<Queued>,
    /// Received and not answered, in order of receipt.
    pub(crate) received: Vec<Message>,
    /// What clients must be told and have not been yet.
    pub(crate) completions: BTreeMap<Token, Outcome>,
}

/// A message, whichever state its client is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) token: Token,
    pub(crate) connection: usize,
    pub(crate) priority: u8,
    pub(crate) bytes: Vec<u8>,
    /// The reply buffer, as far as it was written.
    pub(crate) reply: Vec<Option<u8>>,
    pub(crate) unblock_requested: bool,
}

/// A pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    Sent { priority: u8, value: i64 },
    Unblock { priority: u8, of: Token },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Queued {
    Message(Message),
    Pulse(Pulse),
}

/// What the next receive must bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Nothing,
    Message(Message),
    Pulse(Pulse),
}

/// How a submitted message must end for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Replied { status: i64, reply: Vec<Option<u8>> },
    Failed(Errno),
}

impl Queued {
    fn priority(&self) -> u8 {
        match self {
            Queued::Message(message) => message.priority,
            Queued::Pulse(Pulse::Sent { priority, .. } | Pulse::Unblock { priority, .. }) => {
                *priority
            }
        }
    }
}

impl Oracle {
    pub(crate) fn new(keeps_unblocking: bool) -> Oracle {
        Oracle {
            keeps_unblocking,
            ..Oracle::default()
        }
    }

    pub(crate) fn submit(&mut self, message: Message) {
        self.queue.push(Queued::Message(message));
    }

    pub(crate) fn pulse(&mut self, priority: u8, value: i64) {
        self.queue
            .push(Queued::Pulse(Pulse::Sent { priority, value }));
    }

    /// The highest priority, and of equals the first to arrive.
    pub(crate) fn receive(&mut self) -> Delivery {
        let Some(highest) = self.queue.iter().map(Queued::priority).max() else {
            return Delivery::Nothing;
        };
        let first = self
            .queue
            .iter()
            .position(|queued| queued.priority() == highest);
        match self
            .queue
            .remove(first.expect("one has the highest priority"))
        {
            Queued::Pulse(pulse) => Delivery::Pulse(pulse),
            Queued::Message(message) => {
                self.received.push(message.clone());
                Delivery::Message(message)
            }
        }
    }

    /// Takes a received message out, and an unblock pulse for it that nobody received.
    pub(crate) fn take(&mut self, at: usize) -> Message {
        let message = self.received.remove(at);
        self.queue.retain(|queued| {
            !matches!(queued, Queued::Pulse(Pulse::Unblock { of, .. }) if *of == message.token)
        });
        message
    }

    pub(crate) fn reply(&mut self, at: usize, status: i64, bytes: &[u8]) {
        let mut message = self.take(at);
        put(&mut message.reply, 0, bytes);
        let outcome = Outcome::Replied {
            status,
            reply: message.reply,
        };
        self.completions.insert(message.token, outcome);
    }

    pub(crate) fn fail(&mut self, at: usize, errno: Errno) {
        if errno.0 == 0 {
            return self.reply(at, 0, b"");
        }
        let message = self.take(at);
        self.completions
            .insert(message.token, Outcome::Failed(errno));
    }

    /// The client of the message wants out.
    pub(crate) fn unblock(&mut self, token: Token) {
        let is =
            |queued: &Queued| matches!(queued, Queued::Message(message) if message.token == token);
        if let Some(at) = self.queue.iter().position(is) {
            self.queue.remove(at);
            self.completions
                .insert(token, Outcome::Failed(Errno::EINTR));
            return;
        }
        let at = self
            .received
            .iter()
            .position(|message| message.token == token);
        let at = at.expect("a message in flight is queued or received");
        if !self.keeps_unblocking {
            return self.fail(at, Errno::EINTR);
        }
        let message = &mut self.received[at];
        if !message.unblock_requested {
            message.unblock_requested = true;
            let pulse = Pulse::Unblock {
                priority: message.priority,
                of: token,
            };
            self.queue.push(Queued::Pulse(pulse));
        }
    }

    /// The connection goes: its messages with it, its pulses stay.
    pub(crate) fn detach(&mut self, connection: usize) {
        for message in self.in_flight_on(connection) {
            self.completions
                .insert(message, Outcome::Failed(Errno::EBADF));
        }
        while let Some(at) = self
            .received
            .iter()
            .position(|m| m.connection == connection)
        {
            self.take(at);
        }
        self.queue.retain(
            |queued| !matches!(queued, Queued::Message(message) if message.connection == connection),
        );
    }

    /// Messages of the connection that wait, in either state.
    pub(crate) fn in_flight_on(&self, connection: usize) -> Vec<Token> {
        let messages = self
            .messages()
            .filter(|message| message.connection == connection);
        messages.map(|message| message.token).collect()
    }

    /// All messages that wait, in either state.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        let queued = self.queue.iter().filter_map(|queued| match queued {
            Queued::Message(message) => Some(message),
            Queued::Pulse(_) => None,
        });
        queued.chain(&self.received)
    }

    /// Pulses that wait.
    pub(crate) fn pulse_count(&self) -> usize {
        self.queue
            .iter()
            .filter(|queued| matches!(queued, Queued::Pulse(_)))
            .count()
    }
}

/// Puts bytes into a reply buffer, as far as they fit; answers how many did.
pub(crate) fn put(reply: &mut [Option<u8>], offset: usize, bytes: &[u8]) -> usize {
    let room = reply.get_mut(offset..).unwrap_or_default();
    let len = bytes.len().min(room.len());
    for (at, byte) in room.iter_mut().zip(bytes) {
        *at = Some(*byte);
    }
    len
}
