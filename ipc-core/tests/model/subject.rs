//! The real channel and its clients, kept in step with the oracle.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    AttachOptions, Channel, ChannelSnapshot, CompletionQueue, Connection, Received,
    ReceivedMessage, Reply,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode, Rcvid, Result},
    set_priority, snapshot,
};

use crate::{
    operation::{Form, Operation},
    oracle::{Delivery, Message, OTHER, Oracle, Outcome, Pulse, Sender, Token, put},
    other::Other,
    threads::{PATIENCE, Senders, Waiters, send_in_vain},
};

/// Messages in flight and pulses queued that the model allows, so that no ring is ever full.
const WAITING_MAX: usize = 12;

/// Threads that wait in a receive, at most.
const WAITERS_MAX: usize = 4;

/// The code of the model's own pulses.
pub(crate) const CODE: PulseCode = PulseCode(1);

pub(crate) struct Subject {
    oracle: Oracle,
    flags: ChannelFlags,
    channel: Arc<Channel>,
    queue: CompletionQueue,
    connections: Vec<Arc<Connection>>,
    other: Option<Other>,
    senders: Senders,
    waiters: Waiters,
    /// Messages that the server holds.
    held: BTreeMap<Token, ReceivedMessage>,
    stale: Vec<Rcvid>,
    next: u64,
}

impl Subject {
    pub(crate) fn new(flags: ChannelFlags, connections: usize) -> Subject {
        let channel = Arc::new(Channel::create(flags).expect("a channel can be made"));
        let queue = CompletionQueue::new().expect("a queue can be made");
        let connections = (0..connections).map(|_| attach(&channel, &queue)).collect();
        let keeps_unblocking = flags.contains(ChannelFlags::UNBLOCK);
        let tells_disconnects = flags.contains(ChannelFlags::DISCONNECT);
        Subject {
            oracle: Oracle::new(keeps_unblocking, tells_disconnects),
            flags,
            channel,
            queue,
            connections,
            other: None,
            senders: Senders::new(),
            waiters: Waiters::new(),
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
            Operation::Send {
                connection,
                priority,
                len,
                room,
                form,
            } => {
                self.send(
                    connection % self.connections.len(),
                    (priority, form),
                    len,
                    room,
                );
            }
            Operation::SendInVain {
                connection,
                len,
                covers_reply,
            } => {
                if !self.oracle.is_awaited() {
                    let at = connection % self.connections.len();
                    send_in_vain(&self.connections[at], &filled(0, len), covers_reply);
                }
            }
            Operation::Pulse {
                connection,
                priority,
            } => self.pulse(Some(connection), priority),
            Operation::OwnPulse { priority } => self.pulse(None, priority),
            Operation::Receive => self.receive(false),
            Operation::ReceivePulse => self.receive(true),
            Operation::Wait { pulses_only } => self.wait(pulses_only),
            Operation::Restart { message } => {
                choose(message)
                    .into_iter()
                    .for_each(|at| self.error(at, Errno::ERESTART));
            }
            Operation::Destroy => self.destroy(),
            Operation::OtherSubmits {
                priority,
                len,
                room,
            } => self.other_submits(priority, len, room),
            Operation::OtherPulses { priority } => self.other_pulses(priority),
            Operation::KillOther => self.kill_other(),
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
        self.settle();
    }

    /// Receives and answers all that is left, and finds nothing more.
    pub(crate) fn finish(&mut self) {
        self.send_waiters_off();
        self.kill_other();
        self.settle();
        while self.oracle.messages().count() + self.oracle.pulse_count() > 0 {
            self.receive(false);
            self.settle();
            while !self.oracle.received.is_empty() {
                self.reply(0, 0, 3);
            }
            self.settle();
        }
        self.receive(false);
        assert!(self.held.is_empty());
        let now = self.now();
        assert_eq!(
            (now.send_blocked, now.reply_blocked, now.receivers),
            (0, 0, 0)
        );
    }

    /// Sees to what a step set off: deliveries to threads that waited, arrivals, completions.
    fn settle(&mut self) {
        for (id, expected) in std::mem::take(&mut self.oracle.handed) {
            // That thread, and no other: the last to wait is served first (RCV-2).
            let received = self.waiters.end(id).expect("the channel lives");
            self.compare(expected, Some(received));
        }
        let unexpected = self.waiters.unexpected();
        assert_eq!(unexpected, None, "a thread received what is not for it");
        self.collect();
        // What threads send or send again is on its way until the server has it.
        let (queued, waiting) = (self.oracle.queued_messages(), self.oracle.waiting_count());
        let mut now = self.now();
        let started = Instant::now();
        while (now.send_blocked, now.receivers) != (queued, waiting) {
            let late = started.elapsed() > PATIENCE;
            assert!(
                !late,
                "{queued} messages queued, {waiting} threads wait, but {now:?}"
            );
            thread::sleep(Duration::from_micros(100));
            now = self.now();
        }
    }

    fn submit(&mut self, connection: usize, priority: u8, len: usize, room: usize) {
        if self.oracle.messages().count() >= WAITING_MAX {
            return;
        }
        let message = self.message(connection, Sender::Queue, priority, len, room);
        let mut loan = self.connections[connection]
            .loan(len, room)
            .expect("there is room");
        assert_eq!(loan.write(0, &message.bytes), len);
        set_priority(priority);
        self.connections[connection]
            .submit(loan, message.token)
            .expect("the connection lives");
        self.oracle.send(message);
    }

    fn send(&mut self, connection: usize, (priority, form): (u8, Form), len: usize, room: usize) {
        if self.oracle.messages().count() >= WAITING_MAX {
            return;
        }
        let sender = match form {
            Form::Impatient => Sender::Impatient,
            _ => Sender::Thread,
        };
        let message = self.message(connection, sender, priority, len, room);
        let what = (message.token, priority, form);
        self.senders.start(
            &self.connections[connection],
            what,
            message.bytes.clone(),
            room,
        );
        self.oracle.send(message);
    }

    fn message(
        &mut self,
        connection: usize,
        sender: Sender,
        priority: u8,
        len: usize,
        room: usize,
    ) -> Message {
        let token = self.number();
        Message {
            token,
            connection,
            sender,
            priority,
            bytes: filled(token, len),
            reply: vec![None; room],
            unblock_requested: false,
        }
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

    fn receive(&mut self, pulses_only: bool) {
        let received = match pulses_only {
            false => self.channel.try_receive().expect("the channel lives"),
            true => match self.channel.receive_pulse_timeout(Duration::ZERO) {
                Ok(pulse) => Some(Received::Pulse(pulse)),
                Err(error) => {
                    assert_eq!(error, Errno::ETIMEDOUT);
                    None
                }
            },
        };
        let expected = self.oracle.receive(pulses_only);
        self.compare(expected, received);
    }

    fn wait(&mut self, pulses_only: bool) {
        if self.oracle.has_any(pulses_only) || self.oracle.waiting_count() == WAITERS_MAX {
            return;
        }
        let id = self.number();
        self.waiters.start(&self.channel, id, pulses_only);
        self.oracle.wait(id, pulses_only);
    }

    /// Gives every thread that waits a pulse.
    fn send_waiters_off(&mut self) {
        while self.oracle.waiting_count() > 0 {
            let value = self.number().cast_signed();
            assert_eq!(self.channel.send_pulse(255, CODE, value), Ok(()));
            self.oracle.pulse(255, value);
            self.settle();
        }
        self.waiters.join();
    }

    fn compare(&mut self, expected: Delivery, received: Option<Received>) {
        match (expected, received) {
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
            (Delivery::Pulse(Pulse::Disconnect), Some(Received::Pulse(pulse))) => {
                assert_eq!(pulse.code, PulseCode::DISCONNECT);
                assert_eq!(self.channel.detach_client(pulse.scoid), Ok(()));
            }
            (Delivery::Message(expected), Some(Received::Message(message))) => {
                self.received(expected, message);
            }
            (expected, got) => panic!("expected {expected:?}, received {got:?}"),
        }
    }

    fn received(&mut self, expected: Message, message: ReceivedMessage) {
        if expected.sender == Sender::Impatient {
            if !self.oracle.keeps_unblocking {
                until(|| message.read(0, &mut []) == Err(Errno::ESRCH));
                return self.stale.push(message.rcvid());
            }
            until(|| message.info().unblock_requested);
        }
        assert_eq!(message.read_vec(0, usize::MAX), Ok(expected.bytes.clone()));
        let info = message.info();
        assert_eq!(info.priority, expected.priority);
        assert_eq!(info.srcmsglen, expected.bytes.len());
        assert_eq!(info.dstmsglen, expected.reply.len());
        let (pid, coid) = match expected.connection {
            OTHER => (self.other.as_ref().expect("it lives").pid(), info.coid),
            own => (Pid::current(), self.connections[own].coid()),
        };
        assert_eq!((info.pid, info.coid), (pid, coid));
        self.held.insert(expected.token, message);
    }

    /// Destroys the channel and makes another, to which everybody attaches.
    fn destroy(&mut self) {
        self.send_waiters_off();
        self.kill_other();
        self.settle();
        let another = Channel::create(self.flags).expect("a channel can be made");
        let destroyed = std::mem::replace(&mut self.channel, Arc::new(another));
        drop(Arc::into_inner(destroyed).expect("no thread receives on it"));
        self.oracle.destroy();
        for (_, message) in std::mem::take(&mut self.held) {
            assert_eq!(message.reply(0, b""), Err(Errno::ESRCH));
        }
        self.stale.clear();
        for connection in &self.connections {
            until(|| connection.send(b"", &mut []) == Err(Errno::EBADF));
        }
        // A connection that is dropped takes the completions that were not collected along.
        self.collect();
        for connection in &mut self.connections {
            *connection = attach(&self.channel, &self.queue);
        }
    }

    fn other_submits(&mut self, priority: u8, len: usize, room: usize) {
        if self.oracle.messages().count() >= WAITING_MAX {
            return;
        }
        let message = self.message(OTHER, Sender::Process, priority, len, room);
        self.other().submit(message.token, priority, len, room);
        self.oracle.send(message);
    }

    fn other_pulses(&mut self, priority: u8) {
        if self.oracle.pulse_count() >= WAITING_MAX {
            return;
        }
        let value = self.number().cast_signed();
        self.other().pulse(value, priority);
        self.oracle.pulse(priority, value);
    }

    fn other(&mut self) -> &mut Other {
        let chid = self.channel.chid();
        if self.other.is_none() {
            // As in `reattach`.
            self.send_waiters_off();
        }
        self.other.get_or_insert_with(|| Other::start(chid))
    }

    fn kill_other(&mut self) {
        if self.other.is_some() {
            // As in `reattach`.
            self.send_waiters_off();
            self.other = None;
            let gone = self.oracle.in_flight_on(OTHER);
            self.oracle.detach(OTHER, true);
            self.until_connections(self.connections.len());
            self.forget(&gone);
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
            .filter(|message| message.sender == Sender::Queue)
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
        // Who comes and goes wakes all of them, and whoever is awake may receive first.
        self.send_waiters_off();
        let gone = self.oracle.in_flight_on(connection);
        self.connections[connection].detach();
        self.oracle.detach(connection, self.connections.len() == 1);
        let others = usize::from(self.other.is_some());
        self.until_connections(self.connections.len() - 1 + others);
        self.forget(&gone);
        self.collect();
        self.connections[connection] = attach(&self.channel, &self.queue);
    }

    /// The clients of these messages have gone: what the server holds of them is dead.
    fn forget(&mut self, gone: &[Token]) {
        for message in gone.iter().filter_map(|token| self.held.remove(token)) {
            let id = message.rcvid();
            assert_eq!(message.reply(0, b""), Err(Errno::ESRCH));
            self.stale.push(id);
        }
    }

    /// Takes every completion that the oracle expects, and finds no other.
    fn collect(&mut self) {
        let expected = std::mem::take(&mut self.oracle.completions).into_iter();
        let (mut queued, by_threads): (BTreeMap<_, _>, BTreeMap<_, _>) =
            expected.partition(|(_, told)| told.0 == Sender::Queue);
        for (token, (_, expected)) in by_threads {
            let (outcome, reply) = self.senders.end(token);
            check(&expected, &outcome, &reply);
        }
        while !queued.is_empty() {
            let completion = self.queue.next(Some(PATIENCE)).expect("a completion");
            let expected = queued.remove(&completion.token);
            let (_, expected) = expected.expect("nobody expects this completion");
            let mut reply = Vec::new();
            let outcome = completion.result.map(|got| {
                reply.resize(got.reply().len, 0);
                assert_eq!(got.read(0, &mut reply), got.reply().len);
                got.reply()
            });
            check(&expected, &outcome, &reply);
        }
        let more = self.queue.try_next().map(|completion| completion.token);
        assert_eq!(more, None, "a completion that nobody expects");
        let more = self.senders.unexpected();
        assert_eq!(more, None, "an end of a send that nobody expects");
    }

    fn until_connections(&self, count: usize) {
        until(|| self.now().connections == count);
    }

    /// The channel as anybody sees it.
    fn now(&self) -> ChannelSnapshot {
        let process = snapshot(Pid::current()).expect("this process has channels");
        let own = process
            .channels
            .into_iter()
            .find(|other| other.chid == self.channel.chid());
        own.expect("the channel lives")
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

fn check(expected: &Outcome, outcome: &Result<Reply>, bytes: &[u8]) {
    match (expected, outcome) {
        (Outcome::Failed(errno), Err(error)) => assert_eq!(errno, error),
        (Outcome::Replied { status, reply }, Ok(got)) => {
            let touched = reply
                .iter()
                .rposition(Option::is_some)
                .map_or(0, |last| last + 1);
            assert_eq!((got.status, got.len), (*status, touched));
            for (expected, byte) in reply[..touched].iter().zip(bytes) {
                assert!(
                    expected.is_none_or(|expected| expected == *byte),
                    "the reply came changed"
                );
            }
        }
        (expected, got) => panic!("expected {expected:?}, the client got {got:?}"),
    }
}

fn attach(channel: &Channel, queue: &CompletionQueue) -> Arc<Connection> {
    let options = AttachOptions {
        queue: Some(queue),
        ..AttachOptions::default()
    };
    let attached = Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options);
    Arc::new(attached.expect("the channel lives"))
}

/// Waits for what others do in their own time.
fn until(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "it does not come true");
        thread::sleep(Duration::from_micros(100));
    }
}

/// Bytes that differ from those of other numbers.
pub(crate) fn filled(number: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (number.wrapping_mul(31) as usize + at * 3) as u8)
        .collect()
}
