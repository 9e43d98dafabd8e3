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
        ClientInfo, Errno, MessageInfo, Pulse, Result,
        limits::{BATCH_MAX, BATCH_REPLIES},
    },
    channel::{
        Inner,
        leases::{Item, Items, Run},
        message::{self, Prepared, ReceivedMessage},
        receive,
    },
    shm::{Completion, CompletionFlags, EntryFlags, MessageEntry, Region, copy_slice},
    srr::{Delivery, Want},
    sys::clock,
};

/// Messages that were received together; their senders are REPLY-blocked.
///
/// Made once and used for one [`receive_batch`](super::Channel::receive_batch) after the other. Messages are
/// answered by [`reply_each`](Self::reply_each); one that needs more than an answer at once becomes a
/// [`ReceivedMessage`] through [`into_messages`](Self::take_messages). What is dropped unanswered fails with
/// `EIO` and is counted (RPL-6).
#[derive(Debug)]
pub struct MessageBatch {
    max: usize,
    items: Arc<Items>,
    lease: Option<Leased>,
    /// The first message that is not answered.
    next: usize,
    staged: Vec<Staged>,
    /// Bytes of staged replies, one after the other; the room for them stays.
    bytes: Vec<u8>,
    gone: Vec<usize>,
}

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchedMessage<'a> {
    leased: &'a Leased,
    items: &'a Items,
    run: &'a Run,
    at: usize,
}

/// Where the reply to a batched message is written before it is handed over.
#[derive(Debug)]
pub struct BatchReply<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    len: usize,
    room: usize,
}

/// Whose messages a batch holds.
#[derive(Debug)]
struct Leased {
    channel: Arc<Inner>,
    id: u64,
}

/// An answer that waits for those after it.
#[derive(Debug)]
struct Staged {
    outcome: Result<i64>,
    range: Range<usize>,
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
            staged: Vec::new(),
            bytes: Vec::new(),
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
            let end = self.items.len().min(self.next + BATCH_REPLIES);
            let mut start = 0;
            self.staged.clear();
            for message in messages(leased, &self.items, self.next..end) {
                let mut reply = BatchReply {
                    bytes: &mut self.bytes,
                    start,
                    len: 0,
                    room: message.reply_len_max(),
                };
                let mut outcome = act(&message, &mut reply);
                let range = start..start + reply.len;
                start = range.end;
                if outcome.is_ok_and(|status| status < 0) {
                    (outcome, negative) = (Err(Errno::EIO), true);
                }
                self.staged.push(Staged { outcome, range });
            }
            let chunk = self.next..end;
            self.next = end;
            self.gone.clear();
            leased
                .channel
                .lock()
                .answer_leased(leased.id, chunk.clone(), &mut self.gone);
            answered += chunk.len() - self.gone.len();
            self.hand_over(leased, chunk);
        }
        self.end();
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

    /// Writes the staged answers to messages that were taken out of the lease, then wakes who sleeps.
    fn hand_over(&self, leased: &Leased, chunk: Range<usize>) {
        let mut woken = 0;
        let mut rest = chunk.clone();
        while !rest.is_empty() {
            let run = self.items.run_of(rest.start);
            let end = rest.end.min(run.range.end);
            woken += self.hand_over_run(run, rest.start..end, chunk.start);
            rest.start = end;
        }
        if woken > 0 {
            leased.channel.counters.wakes_sent.add(woken);
        }
    }

    /// The part of it that goes to one connection; `staged_from` is what the first staged answer is to.
    fn hand_over_run(&self, run: &Run, part: Range<usize>, staged_from: usize) -> usize {
        let is_ours = |at: &usize| self.gone.is_empty() || !self.gone.contains(at);
        let mut is_async = false;
        for at in part.clone().filter(is_ours) {
            let entry = &self.items.item(at).entry;
            self.staged[at - staged_from].hand_over(&run.attached.region, entry, &self.bytes);
            is_async |= entry.flags.contains(EntryFlags::ASYNC);
        }
        if let Some((bell, bit)) = run.attached.completions.as_ref().filter(|_| is_async) {
            bell.ring(*bit);
        }
        let entries = part.filter(is_ours).map(|at| &self.items.item(at).entry);
        let waited_for = entries.filter(|entry| !entry.flags.contains(EntryFlags::ASYNC));
        let slots = waited_for.map(|entry| entry.slot);
        run.attached.region.wake_sleepers(slots)
    }

    fn end(&mut self) {
        // A forked child inherits the lock as some thread of its parent held it.
        if let Some(leased) = self.lease.take()
            && let Ok(mut state) = leased.channel.lock_own()
        {
            state.leases.end(leased.id);
        }
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

impl Staged {
    #[inline]
    fn hand_over(&self, region: &Region, entry: &MessageEntry, bytes: &[u8]) {
        let mut completion = Completion::default();
        match self.outcome {
            Ok(status) => {
                let bytes = &bytes[self.range.clone()];
                completion.status = status;
                completion.len = bytes.len() as u32;
                if entry.flags.contains(EntryFlags::REPLY_INLINE) {
                    region.write_reply_inline(entry.slot, 0, bytes);
                } else {
                    region.write(entry.reply, 0, bytes);
                }
            }
            Err(Errno(0)) => {}
            Err(errno) => {
                completion.flags = CompletionFlags::ERROR;
                completion.status = i64::from(errno.0);
            }
        }
        region.answer(entry.slot, entry.generation, &completion);
    }
}

impl BatchedMessage<'_> {
    /// Copies from the message, from `offset` on; 0 past its end (RPL-4).
    ///
    /// # Errors
    /// `ESRCH` when its sender is no longer REPLY-blocked.
    #[doc(alias = "MsgRead")]
    #[inline]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<usize> {
        let item = self.item();
        let len = if item.entry.flags.contains(EntryFlags::INLINE) {
            item.inline.read(offset, into)
        } else {
            self.leased.channel.check_own()?;
            let region = &self.run.attached.region;
            let len = region.read(item.entry.message, offset, into);
            // The copy before the look: whoever lets a client go says so first.
            std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
            len
        };
        if !self.items.is_undisturbed() {
            let mut state = self.leased.channel.lock_own()?;
            state.check_leased(self.leased.id, self.at)?;
        }
        Ok(len)
    }

    /// Bytes that the client sent.
    #[allow(
        clippy::len_without_is_empty,
        reason = "an empty message is no special case"
    )]
    pub fn len(&self) -> usize {
        self.item().entry.len as usize
    }

    /// Bytes that the client's reply buffer takes.
    #[inline]
    pub fn reply_len_max(&self) -> usize {
        self.item().entry.reply_len as usize
    }

    /// Who sent it: the kernel's word, or for a remote client this node's qnet's.
    pub fn client(&self) -> ClientInfo {
        self.run.attached.client
    }

    /// Which connection it came through: a number that no other connection of this process ever has.
    pub fn connection_id(&self) -> u64 {
        self.run.attached.id
    }

    /// The message info structure (RCV-6), as it was when the message was received.
    pub fn info(&self) -> MessageInfo {
        let channel = &self.leased.channel;
        message::describe(channel, &self.run.attached, &self.item().entry, false)
    }

    #[inline]
    fn item(&self) -> &Item {
        self.items.item(self.at)
    }
}

impl BatchReply<'_> {
    /// Adds `bytes` to the reply, as far as the client takes them; answers how many that is.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room - self.len);
        let start = self.start + self.len;
        if self.bytes.len() - start < len {
            self.grow(start + len);
        }
        copy_slice(&bytes[..len], &mut self.bytes[start..start + len]);
        self.len += len;
        len
    }

    /// Makes room for at least `len` bytes of all replies of a chunk.
    #[cold]
    fn grow(&mut self, len: usize) {
        self.bytes.resize(len.next_power_of_two(), 0);
    }

    /// Bytes of the reply so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
            let channel = Arc::clone(channel);
            batch.lease = Some(Leased { channel, id });
            return Ok(None);
        }
        if let Some(Delivery::Pulse(pulse, _)) = state.receive(Want::Pulse) {
            receive::pass_on(&state);
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

fn messages<'a>(
    leased: &'a Leased,
    items: &'a Items,
    range: Range<usize>,
) -> impl Iterator<Item = BatchedMessage<'a>> {
    let mut run = None;
    range.map(move |at| {
        let run = match run {
            Some(run) if Run::contains(run, at) => run,
            _ => *run.insert(items.run_of(at)),
        };
        BatchedMessage {
            leased,
            items,
            run,
            at,
        }
    })
}
