//! One thread of a client: attach, do all kinds of things, detach, and again.

use std::{
    io::{IoSlice, IoSliceMut},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use ipc_core::{
    AttachOptions, BlockedStates, CompletionQueue, Connection, Reply, Timeout,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Result, limits::PRIORITY_DEFAULT},
    set_priority,
};

use super::{
    Shared,
    judge::{UNTOUCHED, wrong},
};
use crate::soak::{
    account::Account,
    message::{Act, HEADER_LEN, LEN_MAX, Order, short},
    protocol::violation,
    random::Random,
    seen::NUMBER_BITS,
    server::UNBLOCKED,
};

/// One thread of a client.
pub(super) struct Worker {
    shared: Arc<Shared>,
    index: usize,
    pub(super) random: Random,
    sender: u64,
    number: u64,
    pub(super) queue: Option<CompletionQueue>,
}

/// A connection as a worker uses it.
pub(super) struct Line {
    pub(super) connection: Arc<Connection>,
    /// Errors that may come at any time: those of a server that may be killed, or of a connection that
    /// another thread may detach.
    pub(super) excuses: Vec<Errno>,
    /// Bytes of the longest message and reply that its arena has room for.
    len_max: usize,
    /// What its pulses are known by.
    name: u64,
}

/// How a blocking send is made.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Vectored,
    Timed(Timeout),
    Loaned,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, index: usize, seed: u64) -> Worker {
        let mut random = Random::new(seed);
        Worker {
            shared,
            index,
            sender: random.next(),
            random,
            number: 0,
            queue: None,
        }
    }

    /// Works for as long as the process lives.
    pub(super) fn work(&mut self) {
        loop {
            let (resting, servers) = {
                let state = self.shared.lock();
                (state.resting, state.servers.clone())
            };
            if resting {
                self.queue = None;
                self.shared.wait_out_rest();
            } else if servers.is_empty() {
                thread::sleep(Duration::from_millis(2));
            } else if self.random.once_in(4) {
                self.use_common(&servers);
            } else {
                self.use_own(&servers);
            }
        }
    }

    pub(super) fn account(&self) -> &Account {
        &self.shared.accounts[self.index]
    }

    /// Uses a connection of its own for a while.
    fn use_own(&mut self, servers: &[(i32, i32)]) {
        if self.random.once_in(8) {
            self.queue = None;
        }
        let queued = self.random.once_in(2);
        if queued && self.queue.is_none() {
            match CompletionQueue::new() {
                Ok(queue) => self.queue = Some(queue),
                Err(error) => return violation(format!("a completion queue: {error}")),
            }
        }
        let Some(line) = self.attach(servers, queued) else {
            return;
        };
        let mut pulses = 0;
        for _ in 0..self.random.below(60) {
            match self.random.below(16) {
                0..=2 if queued => self.fly(&line, false),
                3 => pulses += u64::from(self.pulse(&line, pulses)),
                4 => drop(line.connection.loan(self.random.len_below(4096), 10)),
                _ => self.send(&line),
            }
            if self.shared.lock().resting {
                break;
            }
        }
        if pulses > 0 {
            self.audit(&line, pulses);
        }
        match self.random.below(3) {
            0 if queued => self.fly(&line, true),
            1 => line.connection.detach(),
            // Dropping it detaches too.
            _ => {}
        }
    }

    /// Sends a few messages through the connection that all threads share, or detaches it under them.
    fn use_common(&mut self, servers: &[(i32, i32)]) {
        let common = self.shared.lock().common.clone();
        let connection = match common.filter(|connection| connection.is_alive()) {
            Some(connection) => connection,
            None => match self.attach(servers, false) {
                Some(line) => {
                    self.shared.lock().common = Some(Arc::clone(&line.connection));
                    line.connection
                }
                None => return,
            },
        };
        let line = Line {
            connection,
            excuses: vec![Errno::ESRCH, Errno::EBADF],
            len_max: 32 << 10,
            name: new_name(),
        };
        for _ in 0..self.random.below(20) {
            self.send(&line);
        }
        if self.random.once_in(6) {
            line.connection.detach();
        }
    }

    fn attach(&mut self, servers: &[(i32, i32)], queued: bool) -> Option<Line> {
        let (pid, chid) = servers[self.random.len_below(servers.len())];
        let is_steady = pid == servers[0].0;
        let arena_len = [256 << 10, 4 << 20, 48 << 20][self.random.len_below(3)];
        let options = AttachOptions {
            slots: 1 << self.random.below(7),
            arena_len,
            queue: self.queue.as_ref().filter(|_| queued),
            ..AttachOptions::default()
        };
        let excuses = if is_steady {
            Vec::new()
        } else {
            vec![Errno::ESRCH, Errno::EBADF]
        };
        match Connection::attach_with(Nd::LOCAL, Pid(pid), Chid(chid), &options) {
            Ok(connection) => {
                self.shared.attached.store(true, Ordering::Relaxed);
                Some(Line {
                    connection: Arc::new(connection),
                    excuses,
                    len_max: (arena_len as usize / 4 - 4096).min(LEN_MAX),
                    name: new_name(),
                })
            }
            Err(error) => {
                if !excuses.contains(&error) {
                    violation(format!("attaching to {pid}/{chid}: {error}"));
                }
                None
            }
        }
    }

    /// The next order; also how long its message is, and how much room there is for its reply.
    pub(super) fn order(&mut self, line: &Line) -> (Order, usize, usize) {
        self.number += 1;
        let act = match self.random.below(20) {
            0..=8 => Act::Reply,
            9..=12 => Act::Write,
            13 => Act::Fail,
            14 => Act::Drop,
            15 => Act::Restart,
            _ => Act::Late,
        };
        let errnos = [0, Errno::EBUSY.0, Errno::ENOENT.0, 1000];
        let word = match act {
            Act::Fail => errnos[self.random.len_below(errnos.len())] as u64,
            _ => 0,
        };
        let room = self.len(line.len_max);
        let reply_len = match self.random.below(3) {
            0 => room,
            1 => self.random.len_below(room + 1),
            _ => room + self.random.len_below(100),
        };
        let len = HEADER_LEN + self.len(line.len_max - HEADER_LEN);
        let order = Order {
            sender: self.sender,
            number: self.number,
            act,
            reply_len: reply_len as u32,
            word,
        };
        (order, len, room)
    }

    /// A length below `max`: mostly small, around the places where bytes move from a line to the arena.
    fn len(&mut self, max: usize) -> usize {
        let max = match self.random.below(20) {
            0..=9 => 128,
            10..=15 => 4096,
            16..=18 => 64 << 10,
            _ => LEN_MAX,
        }
        .min(max);
        self.random.len_below(max)
    }

    /// One blocking send.
    fn send(&mut self, line: &Line) {
        set_priority(self.random.below(256) as u8);
        if self.random.once_in(8) {
            return self.send_short(line);
        }
        let (order, len, room) = self.order(line);
        let message = order.message(len);
        let form = match self.random.below(6) {
            0 | 1 => Form::Plain,
            2 => Form::Vectored,
            3 | 4 => Form::Timed(self.timeout()),
            _ => Form::Loaned,
        };
        let mut excuses = line.excuses.clone();
        if let Form::Timed(_) = form {
            excuses.push(Errno::ETIMEDOUT);
            if line
                .connection
                .channel_flags()
                .contains(ChannelFlags::UNBLOCK)
            {
                excuses.push(UNBLOCKED);
            }
        }
        let mut buffer = vec![UNTOUCHED; room];
        self.account().begin();
        let Some(outcome) = self.make(form, &line.connection, &message, &mut buffer) else {
            return self.account().take_back();
        };
        self.account().end(outcome.is_ok());
        if let Some(wrong) = wrong(&order, &outcome, &buffer, &excuses) {
            violation(format!("{form:?}: {wrong}"));
        }
    }

    /// A message too short to say anything: its reply is the same bytes.
    fn send_short(&mut self, line: &Line) {
        let message = short(self.random.len_below(HEADER_LEN));
        let mut buffer = [UNTOUCHED; HEADER_LEN];
        self.account().begin();
        let outcome = line.connection.send(&message, &mut buffer);
        self.account().end(outcome.is_ok());
        let good = match &outcome {
            Ok(reply) => buffer[..reply.len] == message,
            Err(error) => line.excuses.contains(error),
        };
        if !good {
            violation(format!("{} short bytes: {outcome:?}", message.len()));
        }
    }

    /// Makes a send; `None` when there was no room for a loan.
    fn make(
        &mut self,
        form: Form,
        connection: &Connection,
        message: &[u8],
        buffer: &mut [u8],
    ) -> Option<Result<Reply>> {
        Some(match form {
            Form::Plain => connection.send(message, buffer),
            Form::Timed(timeout) => connection.send_timeout(message, buffer, timeout),
            Form::Vectored => {
                let (first, rest) = message.split_at(self.random.len_below(message.len()));
                let middle = self.random.len_below(buffer.len() + 1);
                let (head, tail) = buffer.split_at_mut(middle);
                connection.send_vectored(
                    &[IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(rest)],
                    &mut [
                        IoSliceMut::new(head),
                        IoSliceMut::new(&mut []),
                        IoSliceMut::new(tail),
                    ],
                )
            }
            Form::Loaned => {
                let mut loan = match connection.loan(message.len(), buffer.len()) {
                    Ok(loan) => loan,
                    Err(Errno::EAGAIN) => return None,
                    Err(error) => return Some(Err(error)),
                };
                loan.write(0, message);
                connection.send_loan(loan).map(|answer| {
                    answer.read(0, buffer);
                    answer.reply()
                })
            }
        })
    }

    fn timeout(&mut self) -> Timeout {
        let states = [
            BlockedStates::all(),
            BlockedStates::SEND,
            BlockedStates::REPLY,
        ];
        Timeout {
            states: states[self.random.len_below(3)],
            duration: Duration::from_micros(self.random.below(3000)),
        }
    }

    /// Sends pulse `number` of a connection; answers whether there was room for it.
    fn pulse(&mut self, line: &Line, number: u64) -> bool {
        let value = self.pulse_value(line, number).cast_signed();
        let sent = line
            .connection
            .send_pulse(Some(PRIORITY_DEFAULT), PulseCode(1), value);
        match sent {
            Ok(()) => {}
            Err(Errno::EAGAIN) => return false,
            Err(error) if line.excuses.contains(&error) => {}
            Err(error) => violation(format!("a pulse: {error}")),
        }
        sent.is_ok()
    }

    /// Asks the server whether it had all the pulses of a connection.
    fn audit(&mut self, line: &Line, pulses: u64) {
        set_priority(PRIORITY_DEFAULT);
        self.number += 1;
        let order = Order {
            sender: self.sender,
            number: self.number,
            act: Act::Audit,
            reply_len: 0,
            word: self.pulse_value(line, pulses),
        };
        self.account().begin();
        let outcome = line.connection.send(&order.message(HEADER_LEN), &mut []);
        self.account().end(outcome.is_ok());
        if let Some(wrong) = wrong(&order, &outcome, &[], &line.excuses) {
            violation(wrong);
        }
    }

    /// What names a pulse among those of all connections of all processes since the last rest.
    fn pulse_value(&self, line: &Line, number: u64) -> u64 {
        line.name << NUMBER_BITS | number
    }
}

/// A name for a connection: of this process, and of no other until ids of processes are used again.
fn new_name() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) & ((1 << 22) - 1);
    u64::from(std::process::id()) << 22 | number
}
