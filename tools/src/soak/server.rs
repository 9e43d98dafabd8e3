//! A server: three channels, and every way there is to answer.

use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    Channel, Received, ReceivedMessage,
    abi::{ChannelFlags, Errno, Pid, Pulse, PulseCode, Rcvid, Result},
    snapshot,
};

use super::{
    late::{self, Kept},
    message::{Act, HEADER_LEN, Order, short},
    protocol::{Command, Line, Served, commands, say, violation},
    random::Random,
    resources::Resources,
    seen::{Arrival, Seen},
};

/// What a client that asked to be unblocked gets, if its message was not answered before.
pub(super) const UNBLOCKED: Errno = Errno(libc::ECANCELED);

/// How long what a rest waits for may take before it is said what is missing.
const REST_PATIENCE: Duration = Duration::from_secs(30);

/// What all threads of the server count together.
#[derive(Debug, Default)]
pub(super) struct Counters {
    messages: AtomicU64,
    pulses: AtomicU64,
    answers: AtomicU64,
    late: AtomicU64,
    /// Messages that the late thread still has.
    pub(super) kept: AtomicU64,
}

/// One channel, as each of its threads serves it.
struct Service {
    channel: Arc<Channel>,
    /// One thread alone receives, so order can be checked.
    in_order: bool,
    seen: Arc<Mutex<Seen>>,
    counters: Arc<Counters>,
    late: mpsc::Sender<Kept>,
    random: Random,
}

/// Serves until the supervisor is gone.
pub(super) fn run(seed: u64, threads: u32) -> ExitCode {
    super::client::say_panics();
    let counters = Arc::new(Counters::default());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let late = late::start(&counters);
    let mut random = Random::new(seed);
    let unblock = ChannelFlags::DISCONNECT | ChannelFlags::UNBLOCK;
    let kinds = [
        (ChannelFlags::DISCONNECT, threads),
        (unblock, threads),
        (ChannelFlags::DISCONNECT, 1),
    ];
    let mut channels = Vec::new();
    for (flags, threads) in kinds {
        let channel = match Channel::create(flags) {
            Ok(channel) => Arc::new(channel),
            Err(error) => {
                violation(format!("a server cannot make its channel: {error}"));
                return ExitCode::FAILURE;
            }
        };
        for _ in 0..threads {
            let mut service = Service {
                channel: Arc::clone(&channel),
                in_order: threads == 1,
                seen: Arc::clone(&seen),
                counters: Arc::clone(&counters),
                late: late.clone(),
                random: Random::new(random.next()),
            };
            thread::spawn(move || service.serve());
        }
        channels.push((channel, threads));
    }
    let chids = channels
        .iter()
        .map(|(channel, _)| channel.chid().0)
        .collect();
    say(&Line::Ready { chids });
    for command in commands() {
        if command == Command::Rest {
            rest(&channels, &counters, &seen);
        }
    }
    ExitCode::SUCCESS
}

/// Waits until nobody is connected and every thread is back, and says what was served.
fn rest(channels: &[(Arc<Channel>, u32)], counters: &Counters, seen: &Mutex<Seen>) {
    let started = Instant::now();
    loop {
        let missing = missing_to_rest(channels, counters);
        match missing {
            None => break,
            Some(missing) if started.elapsed() > REST_PATIENCE => {
                return violation(format!("a server does not come to rest: {missing}"));
            }
            Some(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
    // Before anybody is told to go on.
    lock(seen).forget();
    let resources = Resources::kept_by_this_process();
    say(&Line::ServerRests {
        served: counters.served(),
        resources,
    });
}

/// What keeps the server from being at rest.
fn missing_to_rest(channels: &[(Arc<Channel>, u32)], counters: &Counters) -> Option<String> {
    let now = match snapshot(Pid::current()) {
        Ok(now) => now,
        Err(error) => return Some(format!("its own snapshot: {error}")),
    };
    for (channel, threads) in channels {
        let one = now.channels.iter().find(|one| one.chid == channel.chid());
        let Some(one) = one else {
            return Some(format!("channel {} is not in its snapshot", channel.chid()));
        };
        let busy = one.connections + one.send_blocked + one.reply_blocked > 0;
        if busy || one.receivers != *threads as usize {
            return Some(format!("{one:?}"));
        }
    }
    let kept = counters.kept.load(Ordering::Acquire);
    if kept > 0 {
        return Some(format!("{kept} messages are kept for a late answer"));
    }
    let served = counters.served();
    let stats = channels.iter().map(|(channel, _)| channel.stats());
    let said = stats.fold((0, 0, 0, 0, 0), |sum, stats| {
        (
            sum.0 + stats.messages,
            sum.1 + stats.pulses,
            sum.2 + stats.replies,
            sum.3 + stats.dropped_unanswered,
            sum.4 + stats.faults,
        )
    });
    let (messages, pulses, replies, dropped, faults) = said;
    let agrees = (messages, pulses, replies, faults)
        == (served.messages, served.pulses, served.answers + dropped, 0);
    (!agrees).then(|| {
        format!(
            "its channels count {messages} messages, {pulses} pulses, {replies} replies of which {dropped} \
             for messages dropped, {faults} faults; it counted {served:?}"
        )
    })
}

impl Counters {
    /// An answer went out, or came too late.
    pub(super) fn answered(&self, outcome: Result<()>) {
        match outcome {
            Ok(()) => add_one(&self.answers),
            Err(Errno::ESRCH) => add_one(&self.late),
            Err(error) => violation(format!("a reply: {error}")),
        }
    }

    fn served(&self) -> Served {
        Served {
            messages: self.messages.load(Ordering::Acquire),
            pulses: self.pulses.load(Ordering::Acquire),
            answers: self.answers.load(Ordering::Acquire),
            late: self.late.load(Ordering::Acquire),
        }
    }
}

impl Service {
    fn serve(&mut self) {
        loop {
            match self.channel.receive() {
                Ok(Received::Message(message)) => {
                    add_one(&self.counters.messages);
                    self.message(message);
                }
                Ok(Received::Pulse(pulse)) => {
                    self.pulse(pulse);
                    add_one(&self.counters.pulses);
                }
                Err(error) => return violation(format!("a receive: {error}")),
            }
        }
    }

    fn pulse(&mut self, pulse: Pulse) {
        match pulse.code {
            // Answered by whoever holds it, perhaps at this very moment.
            PulseCode::UNBLOCK => match self.channel.error(Rcvid(pulse.value), UNBLOCKED) {
                Ok(()) => add_one(&self.counters.answers),
                Err(Errno::ESRCH) => {}
                Err(error) => violation(format!("an answer to an unblock pulse: {error}")),
            },
            PulseCode::DISCONNECT => {
                if let Err(error) = self.channel.detach_client(pulse.scoid) {
                    violation(format!("giving up {:?}: {error}", pulse.scoid));
                }
            }
            _ => {
                if let Some(wrong) = lock(&self.seen).pulse(pulse.value, self.in_order) {
                    violation(wrong);
                }
            }
        }
    }

    fn message(&mut self, message: ReceivedMessage) {
        let bytes = match message.read_vec(0, usize::MAX) {
            Ok(bytes) => bytes,
            // Its client has gone, and with it all that could be checked.
            Err(Errno::ESRCH) => return,
            Err(error) => return violation(format!("a read: {error}")),
        };
        if bytes.len() != message.len() {
            violation(format!("{} bytes of {}", bytes.len(), message.len()));
        }
        if bytes.len() < HEADER_LEN {
            if bytes != short(bytes.len()) {
                violation(format!("a message of {} bytes came changed", bytes.len()));
            }
            return self.counters.answered(message.reply(0, &bytes));
        }
        match Order::parse(&bytes) {
            Ok(order) => {
                self.read_again(&message, &bytes);
                self.carry_out(&order, message);
            }
            Err(wrong) => violation(wrong),
        }
    }

    /// Reads pieces of a long message a second time.
    fn read_again(&mut self, message: &ReceivedMessage, bytes: &[u8]) {
        let mut piece = [0; 512];
        let offset = self.random.len_below(bytes.len() + 10);
        match message.read(offset, &mut piece) {
            Ok(len) => {
                let expected = bytes.get(offset..).unwrap_or_default();
                let expected = &expected[..expected.len().min(piece.len())];
                if &piece[..len] != expected {
                    violation(format!("a second read at {offset} brought other bytes"));
                }
            }
            Err(Errno::ESRCH) => {}
            Err(error) => violation(format!("a read at {offset}: {error}")),
        }
    }

    fn carry_out(&mut self, order: &Order, message: ReceivedMessage) {
        let arrival = lock(&self.seen).message(order.sender, order.number);
        if arrival == Arrival::Repeated {
            violation(format!("{order:?} came twice"));
        }
        let status = order.status();
        let reply_len = order.reply_len as usize;
        match order.act {
            Act::Reply => self.answer(message.reply(status, &order.reply(reply_len))),
            Act::Write => {
                if self.write(&message, &order.reply(reply_len)) {
                    self.answer(message.reply(status, b""));
                }
            }
            Act::Fail => self.answer(message.error(Errno(order.word as i32))),
            Act::Drop => drop(message),
            Act::Late => {
                let due = Instant::now() + Duration::from_micros(self.random.below(4000));
                self.counters.kept.fetch_add(1, Ordering::AcqRel);
                let (channel, order) = (Arc::clone(&self.channel), *order);
                let id = message.into_rcvid();
                let kept = Kept {
                    channel,
                    id,
                    order,
                    due,
                };
                self.late
                    .send(kept)
                    .expect("invariant: the thread never ends");
            }
            Act::Restart if arrival == Arrival::New => {
                // Before the answer: the message may be back before this thread goes on.
                lock(&self.seen).restart(order.sender, order.number);
                self.answer(message.error(Errno::ERESTART));
            }
            Act::Restart => self.answer(message.reply(status, &order.reply(reply_len))),
            Act::Audit => {
                self.audit(order.word);
                self.answer(message.reply(status, &order.reply(reply_len)));
            }
        }
    }

    /// Writes a reply in pieces, the last first; false when the client has gone.
    fn write(&mut self, message: &ReceivedMessage, bytes: &[u8]) -> bool {
        let room = message.reply_len_max();
        let mut end = bytes.len();
        loop {
            let start = if end > 0 && self.random.once_in(2) {
                self.random.len_below(end)
            } else {
                0
            };
            match message.write(start, &bytes[start..end]) {
                Ok(written) if written == (end.min(room)).saturating_sub(start) => {}
                Ok(written) => {
                    violation(format!("{written} bytes of {start}..{end} fit into {room}"))
                }
                Err(Errno::ESRCH) => return false,
                Err(error) => violation(format!("a write: {error}")),
            }
            if start == 0 {
                return true;
            }
            end = start;
        }
    }

    /// Waits until all pulses that were sent before have been counted: other threads may be at it.
    fn audit(&self, next: u64) {
        let started = Instant::now();
        while !lock(&self.seen).has_all_pulses(next) {
            if self.in_order || started.elapsed() > REST_PATIENCE {
                return violation(format!(
                    "pulses of connection {next:x} are missing, or came twice"
                ));
            }
            thread::sleep(Duration::from_micros(100));
        }
    }

    fn answer(&self, outcome: Result<()>) {
        self.counters.answered(outcome);
    }
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::AcqRel);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
