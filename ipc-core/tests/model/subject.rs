//! The real channel and its clients, kept in step with the oracle.

use std::{collections::BTreeMap, thread, time::Duration};

use ipc_core::{
    AttachOptions, Channel, Completion, CompletionQueue, Connection, Received, ReceivedMessage,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode, Rcvid},
    set_priority, snapshot,
};

use crate::{
    operation::Operation,
    oracle::{Delivery, Message, Oracle, Outcome, Pulse, Token, put},
};

/// Messages in flight and pulses queued that the model allows, so that no ring is ever full.
const WAITING_MAX: usize = 12;

/// The code of the model's own pulses.
const CODE: PulseCode = PulseCode(1);

pub(crate) struct Subject {
    oracle: Oracle,
    channel: Channel,
    queue: CompletionQueue,
    connections: Vec<Connection>,
    /// Messages that the server holds.
    held: BTreeMap<Token, ReceivedMessage>,
    stale: Vec<Rcvid>,
    next: u64,
}

impl Subject {
    pub(crate) fn new(flags: ChannelFlags, connections: usize) -> Subject {
        let channel = Channel::create(flags).expect("a channel can be made");
        let queue = CompletionQueue::new().expect("a queue can be made");
        let connections = (0..connections).map(|_| attach(&channel, &queue)).collect();
        let keeps_unblocking = flags.contains(ChannelFlags::UNBLOCK);
        Subject {
            oracle: Oracle::new(keeps_unblocking),
            channel,
            queue,
            connections,
            held: BTreeMap::new(),
            stale: Vec::new(),
            next: 1,
        }
    }

    /// Does one thing to both, and compares everything that can be seen of it.
    pub(crate) fn step(&mut self, operation: &Operation) {
        let received = self.oracle.received.len();
        let choose = |which: usize| (received > 0).then(|| which % received);
        match *operation {
            Operation::Submit {
                connection,
                priority,
                len,
                room,
            } => {
                self.submit(connection % self.connections.len(), priority, len, room);
            }
            Operation::Pulse {
                connection,
                priority,
            } => self.pulse(Some(connection), priority),
            Operation::OwnPulse { priority } => self.pulse(None, priority),
            Operation::Receive => self.receive(),
            Operation::Read {
                message,
                offset,
                len,
            } => {
                choose(message)
                    .into_iter()
                    .for_each(|at| self.read(at, offset, len));
            }
            Operation::Write {
                message,
                offset,
                len,
            } => {
                choose(message)
                    .into_iter()
                    .for_each(|at| self.write(at, offset, len));
            }
            Operation::Reply {
                message,
                status,
                len,
            } => {
                choose(message)
                    .into_iter()
                    .for_each(|at| self.reply(at, status, len));
            }
            Operation::Error { message, errno } => {
                choose(message)
                    .into_iter()
                    .for_each(|at| self.error(at, Errno(errno)));
            }
            Operation::Drop { message } => {
                choose(message)
                    .into_iter()
                    .for_each(|at| self.drop_message(at));
            }
            Operation::StaleReply { which } => self.stale_reply(which),
            Operation::Unblock { message } => self.unblock(message),
            Operation::Reattach { connection } => {
                self.reattach(connection % self.connections.len())
            }
        }
        self.collect();
    }

    /// Receives and answers all that is left, and finds nothing more.
    pub(crate) fn finish(&mut self) {
        while self.oracle.messages().count() + self.oracle.pulse_count() > 0 {
            self.receive();
            while !self.oracle.received.is_empty() {
                self.reply(0, 0, 3);
            }
            self.collect();
        }
        self.receive();
        assert!(self.held.is_empty());
    }

    fn submit(&mut self, connection: usize, priority: u8, len: usize, room: usize) {
        if self.oracle.messages().count() >= WAITING_MAX {
            return;
        }
        let token = self.number();
        let bytes = filled(token, len);
        let mut loan = self.connections[connection]
            .loan(len, room)
            .expect("there is room");
        assert_eq!(loan.write(0, &bytes), len);
        set_priority(priority);
        self.connections[connection]
            .submit(loan, token)
            .expect("the connection lives");
        let reply = vec![None; room];
        let unblock_requested = false;
        let message = Message {
            token,
            connection,
            priority,
            bytes,
            reply,
            unblock_requested,
        };
        self.oracle.submit(message);
    }

    fn pulse(&mut self, connection: Option<usize>, priority: u8) {
        if self.oracle.pulse_count() >= WAITING_MAX {
            return;
        }
        let value = self.number().cast_signed();
        let sent = match connection {
            Some(at) => {
                let connection = &self.connections[at % self.connections.len()];
                connection.send_pulse(Some(priority), CODE, value)
            }
            None => self.channel.send_pulse(priority, CODE, value),
        };
        assert_eq!(sent, Ok(()));
        self.oracle.pulse(priority, value);
    }

    fn receive(&mut self) {
        let received = self.channel.try_receive().expect("the channel lives");
        match (self.oracle.receive(), received) {
            (Delivery::Nothing, None) => {}
            (Delivery::Pulse(Pulse::Sent { priority, value }), Some(Received::Pulse(pulse))) => {
                assert_eq!(
                    (pulse.code, pulse.value, pulse.priority),
                    (CODE, value, priority)
                );
            }
            (Delivery::Pulse(Pulse::Unblock { of, priority }), Some(Received::Pulse(pulse))) => {
                let id = self.held[&of].rcvid().0;
                assert_eq!((pulse.code, pulse.value), (PulseCode::UNBLOCK, id));
                assert_eq!(pulse.priority, priority);
            }
            (Delivery::Message(expected), Some(Received::Message(message))) => {
                assert_eq!(message.read_vec(0, usize::MAX), Ok(expected.bytes.clone()));
                let info = message.info();
                assert_eq!(info.priority, expected.priority);
                assert_eq!(info.srcmsglen, expected.bytes.len());
                assert_eq!(info.dstmsglen, expected.reply.len());
                assert_eq!(info.coid, self.connections[expected.connection].coid());
                self.held.insert(expected.token, message);
            }
            (expected, got) => panic!("expected {expected:?}, received {got:?}"),
        }
    }

    fn read(&mut self, at: usize, offset: usize, len: usize) {
        let message = &self.oracle.received[at];
        let mut into = vec![0; len];
        let read = self.held[&message.token]
            .read(offset, &mut into)
            .expect("it waits");
        let expected = message.bytes.get(offset..).unwrap_or_default();
        let expected = &expected[..expected.len().min(len)];
        assert_eq!(&into[..read], expected);
    }

    fn write(&mut self, at: usize, offset: usize, len: usize) {
        let bytes = filled(self.number(), len);
        let message = &mut self.oracle.received[at];
        let written = self.held[&message.token].write(offset, &bytes);
        assert_eq!(written, Ok(put(&mut message.reply, offset, &bytes)));
    }

    fn reply(&mut self, at: usize, status: i64, len: usize) {
        let bytes = filled(self.number(), len);
        let message = self.take_held(at);
        assert_eq!(message.reply(status, &bytes), Ok(()));
        self.oracle.reply(at, status, &bytes);
    }

    fn error(&mut self, at: usize, errno: Errno) {
        let message = self.take_held(at);
        assert_eq!(message.error(errno), Ok(()));
        self.oracle.fail(at, errno);
    }

    fn drop_message(&mut self, at: usize) {
        drop(self.take_held(at));
        self.oracle.fail(at, Errno::EIO);
    }

    fn stale_reply(&mut self, which: usize) {
        if !self.stale.is_empty() {
            let id = self.stale[which % self.stale.len()];
            assert_eq!(self.channel.reply(id, 1, b"stale"), Err(Errno::ESRCH));
            assert_eq!(self.channel.info(id), Err(Errno::ESRCH));
        }
    }

    fn unblock(&mut self, which: usize) {
        let waiting: Vec<_> = self
            .oracle
            .messages()
            .map(|message| (message.token, message.connection))
            .collect();
        let Some((token, connection)) = waiting.get(which % waiting.len().max(1)).copied() else {
            return;
        };
        self.connections[connection]
            .unblock(token)
            .expect("it is in flight");
        self.oracle.unblock(token);
        match self.held.get(&token) {
            // It stays, and the server can see the request once the monitor has passed it on.
            Some(message) if self.oracle.keeps_unblocking => {
                until(|| message.info().unblock_requested);
            }
            Some(_) => {
                let message = self.held.remove(&token).expect("just found");
                until(|| message.read(0, &mut []).is_err());
                self.stale.push(message.rcvid());
            }
            None => {}
        }
    }

    fn reattach(&mut self, connection: usize) {
        let gone: Vec<_> = self.oracle.in_flight_on(connection);
        self.connections[connection].detach();
        self.oracle.detach(connection);
        let left = self.connections.len() - 1;
        until(|| connection_count(&self.channel) == left);
        for message in gone.iter().filter_map(|token| self.held.remove(token)) {
            let id = message.rcvid();
            assert_eq!(message.reply(0, b""), Err(Errno::ESRCH));
            self.stale.push(id);
        }
        self.collect();
        self.connections[connection] = attach(&self.channel, &self.queue);
    }

    /// Takes every completion that the oracle expects, and finds no other.
    fn collect(&mut self) {
        while !self.oracle.completions.is_empty() {
            let completion = self.queue.next(None).expect("no signal comes");
            let expected = self.oracle.completions.remove(&completion.token);
            check(
                &expected.expect("nobody expects this completion"),
                &completion,
            );
        }
        let more = self.queue.try_next().map(|completion| completion.token);
        assert_eq!(more, None, "a completion that nobody expects");
    }

    fn take_held(&mut self, at: usize) -> ReceivedMessage {
        let token = self.oracle.received[at].token;
        let message = self.held.remove(&token).expect("what was received is held");
        self.stale.push(message.rcvid());
        message
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn check(expected: &Outcome, completion: &Completion) {
    match (expected, &completion.result) {
        (Outcome::Failed(errno), Err(error)) => assert_eq!(errno, error),
        (Outcome::Replied { status, reply }, Ok(got)) => {
            let touched = reply
                .iter()
                .rposition(Option::is_some)
                .map_or(0, |last| last + 1);
            assert_eq!((got.reply().status, got.reply().len), (*status, touched));
            let mut bytes = vec![0; touched];
            assert_eq!(got.read(0, &mut bytes), touched);
            for (expected, byte) in reply.iter().zip(bytes) {
                assert!(
                    expected.is_none_or(|expected| expected == byte),
                    "the reply came changed"
                );
            }
        }
        (expected, got) => panic!("expected {expected:?}, the client got {got:?}"),
    }
}

fn attach(channel: &Channel, queue: &CompletionQueue) -> Connection {
    let options = AttachOptions {
        queue: Some(queue),
        ..AttachOptions::default()
    };
    let attached = Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options);
    attached.expect("the channel lives")
}

fn connection_count(channel: &Channel) -> usize {
    let process = snapshot(Pid::current()).expect("this process has channels");
    let own = process
        .channels
        .iter()
        .find(|other| other.chid == channel.chid());
    own.expect("the channel lives").connections
}

fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_micros(100));
    }
}

/// Bytes that differ from those of other numbers.
fn filled(number: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (number.wrapping_mul(31) as usize + at * 3) as u8)
        .collect()
}
