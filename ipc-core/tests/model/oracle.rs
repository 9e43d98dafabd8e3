//! What must happen, as plainly as it can be said.

use std::collections::BTreeMap;

use ipc_core::abi::Errno;

/// Names a message for its client and for the oracle.
pub(crate) type Token = u64;

/// The connection of the client in a process of its own.
pub(crate) const OTHER: usize = usize::MAX;

/// The priority of the system's own pulses.
const SYSTEM_PRIORITY: u8 = 10;

/// The state that a channel must be in.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Whether REPLY-blocked clients that want out stay (CHN-2).
    pub(crate) keeps_unblocking: bool,
    /// Whether the end of a client process is told (CHN-3).
    pub(crate) tells_disconnects: bool,
    /// In order of arrival.
    queue: Vec<Queued>,
    /// Threads that wait for what comes, the last to wait last.
    waiting: Vec<Waiter>,
    /// What went to threads that waited.
    pub(crate) handed: Vec<(u64, Delivery)>,
    /// Received and not answered, in order of receipt.
    pub(crate) received: Vec<Message>,
    /// What clients must be told and have not been yet.
    pub(crate) completions: BTreeMap<Token, (Sender, Outcome)>,
}

/// A receiving thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiter {
    id: u64,
    pulses_only: bool,
}

/// Who waits for the answer to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Nobody: it comes out of the queue.
    Queue,
    /// A thread.
    Thread,
    /// A thread that gives up once the message is received.
    Impatient,
    /// A process whose answers nobody sees here.
    Process,
}

/// A message, whichever state its client is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) token: Token,
    pub(crate) connection: usize,
    pub(crate) sender: Sender,
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
    Disconnect,
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

/// How a message must end for its client.
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
            Queued::Pulse(Pulse::Disconnect) => SYSTEM_PRIORITY,
        }
    }

    fn is_for(&self, pulses_only: bool) -> bool {
        !pulses_only || matches!(self, Queued::Pulse(_))
    }
}

impl Oracle {
    pub(crate) fn new(keeps_unblocking: bool, tells_disconnects: bool) -> Oracle {
        Oracle {
            keeps_unblocking,
            tells_disconnects,
            ..Oracle::default()
        }
    }

    pub(crate) fn send(&mut self, message: Message) {
        self.arrive(Queued::Message(message));
    }

    pub(crate) fn pulse(&mut self, priority: u8, value: i64) {
        self.arrive(Queued::Pulse(Pulse::Sent { priority, value }));
    }

    /// A thread waits; there is nothing for it.
    pub(crate) fn wait(&mut self, id: u64, pulses_only: bool) {
        self.waiting.push(Waiter { id, pulses_only });
    }

    /// Threads that wait.
    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a thread waits for messages.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting.iter().any(|waiter| !waiter.pulses_only)
    }

    /// Whether such a receiver would find something.
    pub(crate) fn has_any(&self, pulses_only: bool) -> bool {
        self.queue.iter().any(|queued| queued.is_for(pulses_only))
    }

    /// The last to wait of those whom it is for gets it at once, or it is queued.
    fn arrive(&mut self, queued: Queued) {
        let waiter = self
            .waiting
            .iter()
            .rposition(|waiter| queued.is_for(waiter.pulses_only));
        match waiter {
            None => self.queue.push(queued),
            Some(at) => {
                let waiter = self.waiting.remove(at);
                // Before what the delivery itself sets off.
                let at = self.handed.len();
                let delivery = self.deliver(queued);
                self.handed.insert(at, (waiter.id, delivery));
            }
        }
    }

    /// The highest priority, and of equals the first to arrive.
    pub(crate) fn receive(&mut self, pulses_only: bool) -> Delivery {
        let fitting = |queued: &&Queued| queued.is_for(pulses_only);
        let Some(highest) = self
            .queue
            .iter()
            .filter(fitting)
            .map(Queued::priority)
            .max()
        else {
            return Delivery::Nothing;
        };
        let first = self
            .queue
            .iter()
            .position(|queued| queued.is_for(pulses_only) && queued.priority() == highest);
        let queued = self
            .queue
            .remove(first.expect("one has the highest priority"));
        self.deliver(queued)
    }

    fn deliver(&mut self, queued: Queued) -> Delivery {
        match queued {
            Queued::Pulse(pulse) => Delivery::Pulse(pulse),
            Queued::Message(message) => {
                self.received.push(message.clone());
                if message.sender == Sender::Impatient {
                    self.want_out(self.received.len() - 1, Errno::ETIMEDOUT);
                }
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
        let reply = std::mem::take(&mut message.reply);
        self.complete(&message, Outcome::Replied { status, reply });
    }

    pub(crate) fn fail(&mut self, at: usize, errno: Errno) {
        if errno.0 == 0 {
            return self.reply(at, 0, b"");
        }
        let mut message = self.take(at);
        let errno = match (errno, message.sender) {
            (Errno::ERESTART, Sender::Thread) => {
                message.reply.fill(None);
                message.unblock_requested = false;
                return self.send(message);
            }
            // Its time was over before it could be sent again.
            (Errno::ERESTART, Sender::Impatient) => Errno::ETIMEDOUT,
            (errno, _) => errno,
        };
        self.complete(&message, Outcome::Failed(errno));
    }

    /// The client of the submitted message wants out.
    pub(crate) fn unblock(&mut self, token: Token) {
        let is =
            |queued: &Queued| matches!(queued, Queued::Message(message) if message.token == token);
        if let Some(at) = self.queue.iter().position(is) {
            self.queue.remove(at);
            self.completions
                .insert(token, (Sender::Queue, Outcome::Failed(Errno::EINTR)));
            return;
        }
        let at = self
            .received
            .iter()
            .position(|message| message.token == token);
        self.want_out(
            at.expect("a message in flight is queued or received"),
            Errno::EINTR,
        );
    }

    /// The client of a received message wants out.
    fn want_out(&mut self, at: usize, errno: Errno) {
        if !self.keeps_unblocking {
            return self.fail(at, errno);
        }
        let message = &mut self.received[at];
        if !message.unblock_requested {
            message.unblock_requested = true;
            let (priority, of) = (message.priority, message.token);
            self.arrive(Queued::Pulse(Pulse::Unblock { priority, of }));
        }
    }

    /// The connection goes: its messages with it, its pulses stay. It may be the last of its process.
    pub(crate) fn detach(&mut self, connection: usize, is_last: bool) {
        self.end(|message| message.connection == connection, Errno::EBADF);
        if is_last && self.tells_disconnects {
            self.arrive(Queued::Pulse(Pulse::Disconnect));
        }
    }

    /// The channel is destroyed, and another one takes its place.
    pub(crate) fn destroy(&mut self) {
        self.end(|_| true, Errno::ESRCH);
        self.queue.clear();
    }

    fn end(&mut self, is: impl Fn(&Message) -> bool, errno: Errno) {
        let gone: Vec<Message> = self
            .messages()
            .filter(|message| is(message))
            .cloned()
            .collect();
        for message in gone {
            self.complete(&message, Outcome::Failed(errno));
        }
        while let Some(at) = self.received.iter().position(&is) {
            self.take(at);
        }
        self.queue
            .retain(|queued| !matches!(queued, Queued::Message(message) if is(message)));
    }

    fn complete(&mut self, message: &Message, outcome: Outcome) {
        if message.sender != Sender::Process {
            let told = (message.sender, outcome);
            self.completions.insert(message.token, told);
        }
    }

    /// Messages that no thread has received.
    pub(crate) fn queued_messages(&self) -> usize {
        self.messages().count() - self.received.len()
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
