//! Batches: many messages received together and answered together.
//!
//! ```text
//! rings --receive_batch--> private copies, one lease --reply_each--> replies, staged --> slots
//!            one lock                                     ^ no lock         one lock per BATCH_REPLIES
//! ```
//!
//! The one invariant: a reply touches a client's memory only after the lease said, under the channel's
//! lock, that the message is still REPLY-blocked and took it out; a late reply never reaches another
//! message (RPL-1).

use std::{ops::Range, sync::Arc};

use crate::{
    abi::{
        Errno, Pulse, Result,
        limits::{BATCH_MAX, BATCH_REPLIES},
    },
    channel::{
        Inner,
        batched::{BatchedMessage, messages, messages_of},
        leases::Items,
        message::{Prepared, ReceivedMessage},
        receive, running,
        staging::{BatchReply, Staging},
    },
    srr::{Delivery, Want},
    sys::{
        clock,
        failpoint::{self, Failpoint},
    },
};

/// Messages that were received together; their senders are REPLY-blocked.
///
/// Made once and used for one [`receive_batch`](super::Channel::receive_batch) after the other. Messages are
/// answered by [`reply_each`](Self::reply_each); one that needs more than an answer at once becomes a
/// [`ReceivedMessage`] through [`take_messages`](Self::take_messages). What is dropped unanswered fails with
/// `EIO` and is counted (RPL-6).
#[derive(Debug)]
pub struct MessageBatch {
    max: usize,
    items: Arc<Items>,
    lease: Option<Leased>,
    /// The first message that is not answered.
    next: usize,
    staging: Staging,
    gone: Vec<usize>,
}

/// Whose messages a batch holds.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) channel: Arc<Inner>,
    pub(super) id: u64,
}

impl MessageBatch {
    /// A batch that takes at most `max` messages, 1 to [`BATCH_MAX`], at a time.
    ///
    /// # Panics
    /// When `max` is 0.
    pub fn with_capacity(max: usize) -> MessageBatch {
        assert!(max > 0, "a batch of no messages would never receive any");
        MessageBatch {
            max: max.min(BATCH_MAX),
            items: Arc::default(),
            lease: None,
            next: 0,
            staging: Staging::default(),
            gone: Vec::new(),
        }
    }

    /// Messages that are not answered.
    pub fn len(&self) -> usize {
        self.items.len() - self.next
    }

    /// Whether every message is answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The messages that are not answered, in the order of receipt.
    pub fn iter(&self) -> impl Iterator<Item = BatchedMessage<'_>> {
        let leased = self.lease.iter();
        leased.flat_map(|leased| messages(leased, &self.items, self.next..self.items.len()))
    }

    /// Answers every message as `act` says, in order: `Ok` is the status of a reply, 0 or more, whose bytes
    /// `act` wrote to the buffer; `Err` fails the sender, as [`ReceivedMessage::error`] does. Replies are
    /// handed over some at a time, [`BATCH_REPLIES`] at most.
    /// Answers how many senders were still there to be answered: the others had gone or given up.
    ///
    /// # Errors
    /// `ESRCH` in a forked child. A negative status is `EIO` to the sender and `EINVAL` here, once all are
    /// answered.
    #[doc(alias = "MsgReply")]
    pub fn reply_each(
        &mut self,
        mut act: impl FnMut(&BatchedMessage<'_>, &mut BatchReply<'_>) -> Result<i64>,
    ) -> Result<usize> {
        let Some(leased) = &self.lease else {
            return Ok(0);
        };
        leased.channel.check_own()?;
        let (mut answered, mut negative) = (0, false);
        while self.next < self.items.len() {
            let chunk = self.next..self.items.len().min(self.next + BATCH_REPLIES);
            // By value, as the ring's head is while messages are taken.
            let mut staging = std::mem::take(&mut self.staging);
            staging.clear();
            for run in &self.items.runs {
                let part = run.part(&chunk);
                if part.is_empty() {
                    continue;
                }
                running::follow(&leased.channel, run.priority);
                let lines = run.attached.region.lines();
                for message in messages_of(leased, &self.items, run, part) {
                    // Asked for while the ring is read they would wait in one queue with the entries.
                    lines.will_write_slot(message.slot());
                    let mut reply = staging.reply(message.reply_len_max());
                    let mut outcome = act(&message, &mut reply);
                    let len = reply.len();
                    if outcome.is_ok_and(|status| status < 0) {
                        (outcome, negative) = (Err(Errno::EIO), true);
                    }
                    staging.push(outcome, len);
                }
            }
            self.staging = staging;
            self.next = chunk.end;
            self.gone.clear();
            let mut state = leased.channel.lock_own()?;
            state.answer_leased(leased.id, &self.items, chunk.clone(), &mut self.gone);
            drop(state);
            failpoint::pass(Failpoint::ReplyTaken);
            answered += chunk.len() - self.gone.len();
            self.hand_over(leased, chunk);
        }
        // It ended with its last message.
        self.lease = None;
        Items::forget_connections(&mut self.items);
        if negative {
            Err(Errno::EINVAL)
        } else {
            Ok(answered)
        }
    }

    /// Takes the messages out one by one: each is answered by itself, at any time, by any thread.
    pub fn take_messages(&mut self) -> Vec<ReceivedMessage> {
        let mut taken = Vec::new();
        if let Some(leased) = &self.lease
            && let Ok(mut state) = leased.channel.lock_own()
        {
            let undisturbed = self.items.is_undisturbed();
            for at in self.next..self.items.len() {
                let id = state.rcvid_of_leased(leased.id, at);
                let message = self.items.in_flight(at);
                let attached = &self.items.run_of(at).attached;
                let prepared = Prepared::new(&leased.channel, None);
                taken.push(ReceivedMessage::new(prepared, attached, id, &message));
            }
            if !undisturbed {
                // Some may have left the table before they were made, and must ask it.
                leased.channel.ended.add_one();
            }
        }
        self.next = self.items.len();
        self.end();
        taken
    }

    /// Hands the staged answers over to messages that were taken out of the lease, then wakes who sleeps.
    fn hand_over(&self, leased: &Leased, chunk: Range<usize>) {
        let mut woken = 0;
        let mut rest = chunk.clone();
        while !rest.is_empty() {
            let run = self.items.run_of(rest.start);
            let part = run.part(&rest);
            let (first, items) = (part.start - chunk.start, self.items.part(&part));
            woken += if self.gone.is_empty() {
                self.staging.hand_over(first, run, items, |_| false)
            } else {
                let is_gone = |at| self.gone.contains(&(part.start + at));
                self.staging.hand_over(first, run, items, is_gone)
            };
            rest.start = part.end;
        }
        if woken > 0 {
            leased.channel.counters.wakes_sent.add(woken);
        }
    }

    fn end(&mut self) {
        // A forked child inherits the lock as some thread of its parent held it.
        if let Some(leased) = self.lease.take()
            && let Ok(mut state) = leased.channel.lock_own()
        {
            state.leases.end(leased.id);
        }
        Items::forget_connections(&mut self.items);
    }

    /// Fails what is not answered.
    fn give_up(&mut self) {
        let unanswered = self.len();
        let channel = self
            .lease
            .as_ref()
            .map(|leased| Arc::clone(&leased.channel));
        if unanswered > 0
            && let (Some(channel), Ok(answered)) =
                (channel, self.reply_each(|_, _| Err(Errno::EIO)))
        {
            channel.counters.dropped_unanswered.add(answered);
        }
        self.end();
    }
}

impl Drop for MessageBatch {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Waits for messages or a pulse, until `deadline_ns`; 0 means not at all.
pub(super) fn receive(
    channel: &Arc<Inner>,
    batch: &mut MessageBatch,
    deadline_ns: Option<u64>,
) -> Result<Option<Pulse>> {
    batch.give_up();
    batch.next = 0;
    if Arc::get_mut(&mut batch.items).is_none() {
        batch.items = Arc::default();
    }
    let items = Arc::get_mut(&mut batch.items).expect("invariant: its lease has ended");
    items.clear();
    let mut state = channel.lock_own()?;
    let (mut looked, mut place) = (false, None);
    loop {
        if state.closed {
            return Err(Errno::ESRCH);
        }
        if state.receive_messages(items, batch.max) {
            receive::pass_on(&state);
            let id = state.leases.enter(&batch.items);
            state.counts.messages += batch.items.len() as u64;
            drop(state);
            failpoint::pass(Failpoint::Received);
            running::follow(channel, batch.items.item(0).priority());
            let channel = Arc::clone(channel);
            batch.lease = Some(Leased { channel, id });
            return Ok(None);
        }
        if let Some(Delivery::Pulse(pulse, _)) = state.receive(Want::Pulse) {
            receive::pass_on(&state);
            drop(state);
            failpoint::pass(Failpoint::PulseReceived);
            running::follow(channel, pulse.priority);
            return Ok(Some(pulse));
        }
        if deadline_ns.is_some_and(|deadline| deadline <= clock::monotonic_ns()) {
            return Err(Errno::ETIMEDOUT);
        }
        if !looked {
            looked = true;
            if let Some(budget) = channel.spin.budget() {
                state = receive::look(channel, state, budget);
                continue;
            }
        }
        state = receive::sleep(channel, state, Want::Anything, deadline_ns, &mut place)?;
    }
}
