//! Posting on one connection: who holds which slot, block and ring position.

use std::{
    collections::VecDeque,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    abi::{
        Errno, Priority, PulseCode, Result,
        limits::{ABANDONED_LOOK_EVERY, MSG_LEN_MAX},
    },
    connection::{link::Link, priority::priority, submitted::Pending},
    shm::{
        Arena, Block, Claim, EntryFlags, INLINE_MAX, Layout, MessageEntry, Producer, PulseEntry,
        REPLY_INLINE_MAX,
    },
    sys::{
        clock,
        failpoint::{self, Failpoint},
        thread,
    },
};

/// What a link's lock protects.
pub(super) struct Posting {
    pub(super) producer: Producer,
    arena: Arena,
    /// The first is taken next.
    free_slots: VecDeque<u32>,
    generations: Vec<u32>,
    /// Tickets whose senders no longer wait; the server may still answer them.
    abandoned: Vec<Ticket>,
    /// By slot: messages whose answers come out of a queue. Empty until the first.
    pub(super) pending: Box<[Option<Pending>]>,
    /// How many there are.
    pub(super) pending_count: usize,
    /// Senders that wait for a slot or for room in the arena.
    pub(super) waiting: usize,
}

/// The right to one message in flight: a slot, and the blocks that its bytes need.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) slot: u32,
    /// Tells this message's answer from those of earlier ones in the same slot.
    pub(super) generation: u32,
    pub(super) len: usize,
    pub(super) reply_len: usize,
    message: Option<Block>,
    reply: Option<Block>,
}

/// The state word of a slot has room for so many bits of a generation.
const GENERATION_MASK: u32 = 0x0fff_ffff;

impl Link {
    /// Sets a slot and the blocks aside that a message of `len` bytes with a reply of up to
    /// `reply_len` needs. Waits for them until `deadline_ns`, or not at all without `wait`.
    pub(super) fn reserve(
        &self,
        len: usize,
        reply_len: usize,
        wait: bool,
        deadline_ns: Option<u64>,
    ) -> Result<Ticket> {
        self.reserve_locked(len, reply_len, wait, deadline_ns)
            .map(|(_, ticket)| ticket)
    }

    /// Reserves, posts and rings at once, for a message that travels inside its entry. Answers as well whether the server had
    /// slept, and was woken.
    pub(super) fn post_inline(
        &self,
        inline: &[u8],
        reply_len: usize,
        flags: EntryFlags,
        deadline_ns: Option<u64>,
    ) -> Result<(Ticket, bool)> {
        let (mut posting, ticket) =
            self.reserve_locked(inline.len(), reply_len, true, deadline_ns)?;
        let entry = self.entry(&ticket, flags);
        posting.producer.post_message(&self.region, &entry, inline);
        drop(posting);
        let woke = self.ring();
        Ok((ticket, woke))
    }

    /// Posts the message of a ticket and rings. `inline` is the message if it fits an entry. Answers whether the server had
    /// slept, and was woken.
    pub(super) fn post(&self, ticket: &Ticket, inline: &[u8], flags: EntryFlags) -> bool {
        let entry = self.entry(ticket, flags);
        self.posting()
            .producer
            .post_message(&self.region, &entry, inline);
        self.ring()
    }

    /// Posts a pulse.
    ///
    /// # Errors
    /// `EAGAIN` when as many as there are slots wait already.
    pub(super) fn post_pulse(&self, priority: Priority, code: PulseCode, value: i64) -> Result<()> {
        let entry = self.pulse_entry(priority, code, value);
        self.posting().producer.post_pulse(&self.region, &entry)?;
        self.ring();
        failpoint::pass(Failpoint::PulseSent);
        Ok(())
    }

    pub(super) fn pulse_entry(
        &self,
        priority: Priority,
        code: PulseCode,
        value: i64,
    ) -> PulseEntry {
        PulseEntry {
            priority,
            code,
            value,
            stamp_ns: self.stamp(),
        }
    }

    /// Hands the posting end of the ring to a pipeline, which is the connection's only user until it
    /// gives it back.
    pub(super) fn take_producer(&self) -> Producer {
        std::mem::take(&mut self.posting().producer)
    }

    /// The pipeline is over: any thread may post again.
    pub(super) fn put_producer_back(&self, producer: Producer) {
        self.posting().producer = producer;
    }

    /// Gives a ticket back whose slot is answered, or was never posted.
    pub(super) fn release(&self, ticket: Ticket) {
        if !self.is_of_this_process() {
            return;
        }
        let mut posting = self.posting();
        posting.release(ticket);
        if posting.waiting > 0 {
            self.freed.notify_all();
        }
    }

    /// Makes an answered ticket good for sending the same message again.
    pub(super) fn renew(&self, ticket: &mut Ticket) {
        ticket.generation = self.posting().next_generation(ticket.slot);
    }

    /// Leaves a ticket to the server, whose answer nobody waits for any more.
    pub(super) fn abandon(&self, ticket: Ticket) {
        let mut posting = self.posting();
        posting.abandoned.push(ticket);
        if posting.waiting > 0 {
            // Who waits for a place looks for this one by itself from now on.
            self.freed.notify_all();
        }
    }

    /// Where a ticket's message is written, unless it travels inside its entry.
    #[inline]
    pub(super) fn message_claim(&self, ticket: &Ticket) -> Option<Claim> {
        ticket.message.map(|block| self.claim(block, ticket.len))
    }

    /// Where a ticket's reply is found, unless it comes inside the slot.
    #[inline]
    pub(super) fn reply_claim(&self, ticket: &Ticket) -> Option<Claim> {
        ticket
            .reply
            .map(|block| self.claim(block, ticket.reply_len))
    }

    pub(super) fn reserve_locked(
        &self,
        len: usize,
        reply_len: usize,
        wait: bool,
        deadline_ns: Option<u64>,
    ) -> Result<(MutexGuard<'_, Posting>, Ticket)> {
        // Before the lock: a forked child inherits it as some thread of its parent held it.
        self.check_live()?;
        let mut posting = self.posting();
        loop {
            // Under the lock, which whoever ends the connection takes before it wakes those who wait.
            if self.has_ended() {
                return Err(self.end_error());
            }
            self.reap(&mut posting);
            match posting.try_reserve(len, reply_len) {
                Err(Errno::EAGAIN) if wait => {}
                outcome => return outcome.map(|ticket| (posting, ticket)),
            }
            posting = self.wait_freed(posting, deadline_ns)?;
        }
    }

    fn wait_freed<'a>(
        &'a self,
        mut posting: MutexGuard<'a, Posting>,
        deadline_ns: Option<u64>,
    ) -> Result<MutexGuard<'a, Posting>> {
        let left_ns = deadline_ns.map(|deadline| deadline.saturating_sub(clock::monotonic_ns()));
        if left_ns == Some(0) {
            return Err(Errno::ETIMEDOUT);
        }
        let mut left = left_ns.map(Duration::from_nanos);
        if !posting.abandoned.is_empty() {
            // Nobody sleeps on their slots, so their answers wake nobody.
            left = Some(
                left.unwrap_or(ABANDONED_LOOK_EVERY)
                    .min(ABANDONED_LOOK_EVERY),
            );
        }
        posting.waiting += 1;
        let mut posting = match left {
            Some(left) => {
                let waited = self.freed.wait_timeout(posting, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self
                .freed
                .wait(posting)
                .unwrap_or_else(PoisonError::into_inner),
        };
        posting.waiting -= 1;
        Ok(posting)
    }

    /// Takes back the abandoned tickets that the server answered meanwhile.
    pub(super) fn reap(&self, posting: &mut Posting) {
        if posting.abandoned.is_empty() {
            return;
        }
        let over = |ticket: &mut Ticket| self.is_over(ticket);
        let reaped: Vec<Ticket> = posting.abandoned.extract_if(.., over).collect();
        reaped
            .into_iter()
            .for_each(|ticket| posting.release(ticket));
    }

    #[inline(always)]
    pub(super) fn entry(&self, ticket: &Ticket, flags: EntryFlags) -> MessageEntry {
        MessageEntry {
            flags: flags | ticket.flags(),
            priority: priority(),
            slot: ticket.slot,
            generation: ticket.generation,
            tid: thread::current_tid(),
            stamp_ns: self.stamp(),
            len: ticket.len as u32,
            reply_len: ticket.reply_len as u32,
            message: self.message_claim(ticket).unwrap_or_default(),
            reply: self.reply_claim(ticket).unwrap_or_default(),
        }
    }

    /// Bytes of the arena that messages and replies have used since it was last given back.
    ///
    /// # Errors
    /// As [`check_live`](Self::check_live).
    pub(super) fn arena_used(&self) -> Result<usize> {
        // Before the lock, as in `reserve_locked`.
        self.check_live()?;
        Ok(self.posting().arena.used() as usize)
    }

    /// Bytes of the arena that messages and replies have set aside now.
    ///
    /// # Errors
    /// As [`check_live`](Self::check_live).
    pub(super) fn arena_held(&self) -> Result<usize> {
        self.check_live()?;
        Ok(self.posting().arena.held() as usize)
    }

    /// Gives the arena's memory back to the system.
    ///
    /// # Errors
    /// As [`check_live`](Self::check_live), and the kernel's; `EAGAIN` while something has a place in it.
    pub(super) fn give_arena_back(&self) -> Result<()> {
        self.check_live()?;
        // Under the lock: nothing gets a place meanwhile.
        let mut posting = self.posting();
        match posting.arena.renew() {
            None => Err(Errno::EAGAIN),
            Some(0) => Ok(()),
            Some(used) => self.region.discard_arena(used),
        }
    }

    fn claim(&self, block: Block, len: usize) -> Claim {
        let claim = self.region.claim(block.offset, len as u32);
        claim.expect("invariant: blocks lie in the arena")
    }
}

impl Posting {
    pub(super) fn new(layout: Layout) -> Posting {
        Posting {
            producer: Producer::default(),
            arena: Arena::new(layout.arena_len()),
            free_slots: (0..layout.slots()).collect(),
            generations: vec![0; layout.slots() as usize],
            abandoned: Vec::new(),
            pending: Box::default(),
            pending_count: 0,
            waiting: 0,
        }
    }

    /// The slots and generations of messages that threads wait for.
    pub(super) fn in_flight(&self) -> Vec<(u32, u32)> {
        let submitted = self.pending.iter().flatten();
        let submitted = submitted.map(|pending| &pending.ticket);
        let mut idle: Vec<u32> = self.free_slots.iter().copied().collect();
        idle.extend(submitted.chain(&self.abandoned).map(|ticket| ticket.slot));
        let generations = self.generations.iter().zip(0_u32..);
        let busy = generations.filter(|(_, slot)| !idle.contains(slot));
        busy.map(|(generation, slot)| (slot, *generation)).collect()
    }

    pub(super) fn try_reserve(&mut self, len: usize, reply_len: usize) -> Result<Ticket> {
        if len > INLINE_MAX && reply_len > REPLY_INLINE_MAX {
            let lens = [len.min(MSG_LEN_MAX), reply_len.min(MSG_LEN_MAX)];
            // Each fits alone, but waiting for both at once would be waiting for oneself.
            if !self.arena.can_hold(lens) {
                return Err(Errno::EMSGSIZE);
            }
        }
        let message = match len {
            0..=INLINE_MAX => None,
            _ => Some(self.arena.allocate(len)?),
        };
        let reply = match reply_len {
            0..=REPLY_INLINE_MAX => None,
            _ => match self.arena.allocate(reply_len) {
                Ok(block) => Some(block),
                Err(error) => {
                    self.release_blocks([message, None]);
                    return Err(error);
                }
            },
        };
        let Some(slot) = self.free_slots.pop_front() else {
            self.release_blocks([message, reply]);
            return Err(Errno::EAGAIN);
        };
        failpoint::pass(Failpoint::SendReserved);
        Ok(Ticket {
            slot,
            generation: self.next_generation(slot),
            len,
            reply_len,
            message,
            reply,
        })
    }

    /// Slots there are.
    pub(super) fn slots(&self) -> usize {
        self.generations.len()
    }

    fn next_generation(&mut self, slot: u32) -> u32 {
        let generation = &mut self.generations[slot as usize];
        *generation = following(*generation);
        *generation
    }

    pub(super) fn release(&mut self, ticket: Ticket) {
        // Its lines are in the cache.
        self.free_slots.push_front(ticket.slot);
        self.give_back(ticket);
    }

    /// As [`release`](Self::release), with the slot to be used again after all others: where many messages are in
    /// flight their slots then come in the order of submission, and so do the answers, which are found by slot.
    pub(super) fn release_last(&mut self, ticket: Ticket) {
        self.free_slots.push_back(ticket.slot);
        self.give_back(ticket);
    }

    /// As [`release_last`](Self::release_last), for the slot and generation of a ticket without blocks.
    pub(super) fn release_short(&mut self, slot: u32, generation: u32) {
        self.free_slots.push_back(slot);
        self.generations[slot as usize] = generation;
    }

    fn give_back(&mut self, ticket: Ticket) {
        self.release_blocks([ticket.message, ticket.reply]);
        // A pipeline renews its tickets by itself: the slot's next message goes on from there.
        self.generations[ticket.slot as usize] = ticket.generation;
    }

    fn release_blocks(&mut self, blocks: [Option<Block>; 2]) {
        blocks
            .into_iter()
            .flatten()
            .for_each(|block| self.arena.release(block));
    }
}

impl Ticket {
    /// Whether the message travels inside its entry.
    pub(super) fn is_inline(&self) -> bool {
        self.message.is_none()
    }

    /// Bytes of the message that travel inside the entry.
    pub(super) fn inline_len(&self) -> usize {
        if self.message.is_none() { self.len } else { 0 }
    }

    /// Whether neither message nor reply takes room in the arena.
    pub(super) fn is_short(&self) -> bool {
        self.message.is_none() && self.reply.is_none()
    }

    /// How the message travels.
    pub(super) fn flags(&self) -> EntryFlags {
        let mut flags = EntryFlags::empty();
        flags.set(EntryFlags::INLINE, self.message.is_none());
        flags.set(EntryFlags::REPLY_INLINE, self.reply.is_none());
        flags
    }
}

/// The generation of a slot's next message.
#[inline(always)]
pub(super) fn following(generation: u32) -> u32 {
    generation.wrapping_add(1) & GENERATION_MASK
}
