//! Completion queues: many messages in flight without a thread for each.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use crate::{
    abi::{Coid, Errno, Result},
    connection::{
        link::Link,
        loan::{Loan, LoanReply},
    },
    process::Life,
    shm::{BellBit, Bells, Doorbell},
    spin::Spin,
    srr::Wish,
    sys::{
        clock,
        descriptor::Descriptor,
        futex::{self, FutexWord},
        mutex::lock,
    },
};

/// What a client calls a message it submitted.
pub type Token = u64;

/// Where the answers to submitted messages come out, of any number of connections, in the order in
/// which they are noticed. Clones are the same queue.
#[derive(Clone, Debug)]
pub struct CompletionQueue(Arc<Queue>);

/// The answer to a submitted message.
#[derive(Debug)]
pub struct Completion {
    /// What the client called the message.
    pub token: Token,
    /// The connection it went through.
    pub coid: Coid,
    /// The reply, or why there is none; errors are those of a send.
    pub result: Result<LoanReply>,
    /// Whether the sender was let go of because it [wanted out](crate::Connection::unblock): then `result` is
    /// `EINTR`, and no word of the server's.
    pub let_go: bool,
}

/// What is taken out of a queue at once; to be emptied by its owner, and used again.
#[derive(Debug, Default)]
pub struct Taken {
    /// Answers, in the order in which they are noticed.
    pub completions: VecDeque<Completion>,
    /// Of answers to short messages that are a status and no bytes: the token of the message, and the status. They need no
    /// buffer, and cost less.
    pub statuses: VecDeque<(Token, i64)>,
    /// Messages [sent so](crate::Connection::enqueue_reporting) that a look found their servers to have received. One of
    /// them may be answered by then.
    pub received: Vec<Token>,
}

/// What the queue and the connections in it share.
#[derive(Debug)]
pub(super) struct Queue {
    bells: Mutex<Bells<Chair>>,
    ready: Mutex<Ready>,
    /// Connections that ended with messages in flight and were not looked at since. The doorbells say so too,
    /// but a server may scribble over its own, and nobody else may hold the connection any more.
    ended: Mutex<Vec<Arc<Link>>>,
    spin: Spin,
    /// Whose queue it is: a forked child does not have the doorbells' memory.
    process: Life,
    /// Whether a thread sleeps on the doorbells.
    turn_taken: Mutex<bool>,
    turn_over: Condvar,
}

/// What was found and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Ready {
    completions: VecDeque<Completion>,
    /// Messages whose senders wanted to know that their servers received them, and which they did.
    received: Vec<Token>,
}

/// The right to sleep on the doorbells. Dropping it lets the next thread look for what is left.
struct Turn<'a>(&'a Queue);

/// Who sits at a bit of a doorbell, from the moment its connection is up.
type Chair = Arc<OnceLock<Weak<Link>>>;

/// A connection's bit of the queue's doorbell for its server's user. Dropping it gives it back. It keeps no queue
/// alive: the queue keeps connections, by the answers that nobody took yet.
#[derive(Debug)]
pub(super) struct Seat {
    queue: Weak<Queue>,
    at: BellBit,
    doorbell: Arc<Doorbell>,
    fd: Arc<Descriptor>,
    chair: Chair,
}

impl CompletionQueue {
    /// Makes a queue without connections.
    ///
    /// # Errors
    /// What the descriptor limit answers.
    pub fn new() -> Result<CompletionQueue> {
        let queue = Queue {
            bells: Mutex::new(Bells::new()?),
            ready: Mutex::default(),
            ended: Mutex::new(Vec::new()),
            spin: Spin::from_environment(),
            process: Life::current(),
            turn_taken: Mutex::new(false),
            turn_over: Condvar::new(),
        };
        queue.bells().own().set_modes(true, false);
        Ok(CompletionQueue(Arc::new(queue)))
    }

    /// The next completion, if there is one; never in a forked child.
    pub fn try_next(&self) -> Option<Completion> {
        if !self.0.process.is_current() {
            return None;
        }
        let next = self.0.ready().completions.pop_front();
        next.or_else(|| self.0.harvest_next())
    }

    /// Takes all completions that are there and adds them to `into`, in their order; none in a forked child.
    pub fn take_all(&self, into: &mut VecDeque<Completion>) {
        if self.0.process.is_current() {
            into.append(&mut self.0.ready().completions);
            self.0.harvest(into);
        }
    }

    /// As [`take_all`](Self::take_all), by what they are; an answer that another thread found first is among the
    /// completions in any case. Nobody else takes what was received: until this is called, [`is_ready`](Self::is_ready)
    /// and [`arm`](Self::arm) say that there is something.
    pub fn take_apart(&self, into: &mut Taken) {
        if self.0.process.is_current() {
            into.completions.append(&mut self.0.ready().completions);
            self.0
                .harvest_apart(&mut into.completions, Some(&mut into.statuses));
            into.received.append(&mut self.0.ready().received);
        }
    }

    /// Waits for the next completion. Several threads may wait: one of them sleeps on the doorbells,
    /// the others for their turn.
    ///
    /// # Errors
    /// `ETIMEDOUT` after `timeout`, `EINTR` for a signal, `EBADF` in a forked child.
    pub fn next(&self, timeout: Option<Duration>) -> Result<Completion> {
        if !self.0.process.is_current() {
            return Err(Errno::EBADF);
        }
        let deadline_ns = timeout.map(clock::deadline_ns);
        if let Some(completion) = self.try_next() {
            return Ok(completion);
        }
        let _turn = self.0.take_turn(timeout)?;
        let bells: Vec<_> = self.0.bells().iter().map(Arc::clone).collect();
        if let Some(budget) = self.0.spin.budget() {
            let is_ready = || bells.iter().any(|bell| bell.is_any_ready());
            self.0.spin.look(budget, is_ready);
        }
        loop {
            let mut words = Vec::new();
            let ready = self.arm(&mut words);
            if ready && let Some(completion) = self.try_next() {
                self.disarm();
                return Ok(completion);
            }
            let slept = match futex::wait_any(&words, deadline_ns) {
                Ok(()) | Err(Errno::EAGAIN | Errno::EFAULT) => check_time(deadline_ns),
                other => other,
            };
            if let Err(error) = slept {
                self.disarm();
                return self.try_next().ok_or(error);
            }
        }
    }

    /// Announces that the caller is about to sleep and appends the words to sleep on. Answers true if
    /// a completion is there already, and then the caller must not sleep; always so in a forked child. See
    /// [`crate::Outside::arm`].
    pub fn arm(&self, words: &mut Vec<FutexWord>) -> bool {
        if !self.0.process.is_current() {
            return true;
        }
        for bell in self.0.bells().iter() {
            words.push(bell.futex_word(bell.prepare_sleep(futex::MATCH_ANY)));
        }
        // SYNC(doorbell): the flags are up; who rings from now on wakes the caller.
        if self.has_rung() {
            self.0.harvest_to_ready();
        }
        // SYNC(share): who puts something on the list later sees the flags.
        !self.0.ready().is_empty()
    }

    /// Whether a look would find something, without announcing a sleep: servers that ring meanwhile make no
    /// system call. A server that rings for nothing makes it true too. Never in a forked child.
    pub fn is_ready(&self) -> bool {
        self.0.process.is_current() && (self.has_rung() || !self.0.ready().is_empty())
    }

    /// Whether harvesting would look at a connection.
    fn has_rung(&self) -> bool {
        self.0.bells().iter().any(|bell| bell.is_any_ready()) || !self.0.ended().is_empty()
    }

    /// Says that the caller no longer sleeps, so that servers save the wake-up.
    pub fn disarm(&self) {
        if self.0.process.is_current() {
            self.0.bells().iter().for_each(|bell| bell.cancel_sleep());
        }
    }

    pub(super) fn inner(&self) -> &Arc<Queue> {
        &self.0
    }
}

impl Queue {
    /// Makes room for a connection to a server of user `uid`.
    pub(super) fn reserve(self: &Arc<Queue>, uid: u32) -> Result<Seat> {
        let chair = Chair::default();
        let mut bells = self.bells();
        let at = bells.give(uid, Arc::clone(&chair))?;
        let (doorbell, fd) = bells.doorbell(at);
        doorbell.set_modes(true, false);
        let (doorbell, fd) = (Arc::clone(doorbell), Arc::clone(fd));
        // A thread that waits on the words it knew of must learn of a new one.
        bells.own().kick_all();
        drop(bells);
        Ok(Seat {
            queue: Arc::downgrade(self),
            at,
            doorbell,
            fd,
            chair,
        })
    }

    /// Waits until no other thread sleeps on the doorbells.
    fn take_turn(&self, timeout: Option<Duration>) -> Result<Turn<'_>> {
        let taken = lock(&self.turn_taken);
        let mut taken = match timeout {
            None => self
                .turn_over
                .wait_while(taken, |taken| *taken)
                .unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.turn_over
                    .wait_timeout_while(taken, timeout, |taken| *taken)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        if *taken {
            return Err(Errno::ETIMEDOUT);
        }
        *taken = true;
        Ok(Turn(self))
    }

    /// Moves every answer that servers rang for to the ready list.
    fn harvest_to_ready(&self) {
        let mut over = VecDeque::new();
        self.harvest(&mut over);
        if !over.is_empty() {
            self.ready().completions.append(&mut over);
        }
    }

    /// Takes every answer that servers rang for: the first for the caller, the others for whoever comes.
    fn harvest_next(&self) -> Option<Completion> {
        let mut over = VecDeque::new();
        self.harvest(&mut over);
        self.share(over)
    }

    /// Takes the next completion once `over` is behind those on the ready list.
    fn share(&self, mut over: VecDeque<Completion>) -> Option<Completion> {
        let harvested = !over.is_empty();
        let mut ready = self.ready();
        ready.completions.append(&mut over);
        let next = ready.completions.pop_front();
        let some_are_left = !ready.completions.is_empty();
        drop(ready);
        // SYNC(share): between the look at the bits and this list a thread found neither, and may sleep by now.
        if harvested && some_are_left {
            self.bells().own().kick();
        }
        next
    }

    /// Takes every answer that servers rang for.
    fn harvest(&self, into: &mut VecDeque<Completion>) {
        self.harvest_apart(into, None);
    }

    /// The same; those that are no more than a status apart, if there is a place for them.
    fn harvest_apart(
        &self,
        into: &mut VecDeque<Completion>,
        mut statuses: Option<&mut VecDeque<(Token, i64)>>,
    ) {
        let mut links = Vec::new();
        self.bells()
            .take_ready(|chair| links.extend(chair.get().and_then(Weak::upgrade)));
        links.append(&mut self.ended());
        for link in links {
            link.harvest(into, statuses.as_deref_mut());
        }
    }

    fn bells(&self) -> MutexGuard<'_, Bells<Chair>> {
        lock(&self.bells)
    }

    fn ended(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        lock(&self.ended)
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        lock(&self.ready)
    }
}

impl Ready {
    fn is_empty(&self) -> bool {
        self.completions.is_empty() && self.received.is_empty()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.turn_taken) = false;
        self.0.turn_over.notify_one();
    }
}

impl Seat {
    /// The connection is up: its bit stands for it.
    pub(super) fn take(&self, link: &Arc<Link>) {
        self.chair
            .set(Arc::downgrade(link))
            .expect("invariant: taken once");
    }

    pub(super) fn bit(&self) -> u32 {
        self.at.bit
    }

    pub(super) fn fd(&self) -> &Arc<Descriptor> {
        &self.fd
    }

    /// A message was received whose sender wants to know.
    pub(super) fn note_received(&self, token: Token) {
        if let Some(queue) = self.queue.upgrade() {
            queue.ready().received.push(token);
        }
    }

    /// Makes the queue look at the connection, which has ended.
    pub(super) fn ring(&self) {
        let link = self.chair.get().and_then(Weak::upgrade);
        if let (Some(queue), Some(link)) = (self.queue.upgrade(), link)
            && link.has_pending()
        {
            queue.ended().push(link);
        }
        self.doorbell.ring(self.at.bit);
        // A server may have died between clearing the flag and waking: its wake-up is made good here.
        self.doorbell.kick_all();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A forked child inherits the lock as some thread of its parent held it.
        if let Some(queue) = self.queue.upgrade()
            && queue.process.is_current()
        {
            queue.bells().take_back(self.at);
        }
    }
}

/// Posts a loan whose answer comes out of the connection's queue, and before it, with `reports`, the news that it was
/// received; the server is told by a ring.
pub(super) fn enqueue(loan: Loan, token: Token, reports: bool) -> Result<()> {
    let link = loan.link();
    link.seat().ok_or(Errno::EINVAL)?;
    link.check_live()?;
    loan.enqueue(token, reports);
    Ok(())
}

/// Asks the server to let go of a submitted message.
pub(super) fn cancel(link: &Link, token: Token, wish: Wish) -> Result<()> {
    link.check_live()?;
    let (slot, generation) = link.find_pending(token).ok_or(Errno::ESRCH)?;
    link.cancel(slot, generation, wish)
}

/// A server that rings all the time keeps its client from sleeping, and no more.
///
/// # Errors
/// `ETIMEDOUT` when the time is over.
fn check_time(deadline_ns: Option<u64>) -> Result<()> {
    match deadline_ns {
        Some(deadline_ns) if deadline_ns <= clock::monotonic_ns() => Err(Errno::ETIMEDOUT),
        _ => Ok(()),
    }
}

#[cfg(all(test, not(loom), not(miri)))]
#[path = "completions_tests.rs"]
mod tests;
