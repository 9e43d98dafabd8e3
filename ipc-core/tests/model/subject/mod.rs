//! The real channel and its clients, kept in step with the oracle.

mod others;
mod sending;
mod serving;

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    AttachOptions, Channel, ChannelSnapshot, CompletionQueue, Connection, ReceivedMessage, Reply,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode, Rcvid, Result},
    snapshot,
};

use crate::{
    operation::Operation,
    oracle::{Oracle, Outcome, Token},
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
