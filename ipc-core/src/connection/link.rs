//! One connection, as the client holds it.

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{
    abi::{ChannelFlags, Errno, Priority, PulseCode, Result, ServerInfo},
    channel,
    connection::{
        completions::{Pending, Seat, Token},
        priority::priority,
    },
    process::{
        Life, Monitor, Next, Watch, WatchId,
        control::{Cancel, Record},
    },
    shm::{
        Arena, Block, Claim, Doorbell, EntryFlags, INLINE_MAX, MessageEntry, Producer, PulseEntry,
        REPLY_INLINE_MAX, Region, SlotState, Waited,
    },
    spin::Spin,
    srr::Wish,
    sys::{clock, seqpacket::Seqpacket, thread},
};

/// What the connection, its loans and the monitor share.
pub(super) struct Link {
    pub(super) region: Region,
    pub(super) info: ServerInfo,
    pub(super) channel_flags: ChannelFlags,
    pub(super) spin: Spin,
    socket: Seqpacket,
    doorbell: Doorbell,
    bit: u32,
    /// The server runs as another user.
    foreign: bool,
    seat: Option<Seat>,
    posting: Mutex<Posting>,
    freed: Condvar,
    life: AtomicU32,
    process: Life,
    watch: OnceLock<WatchId>,
    at_end: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

/// What a link is made of.
pub(super) struct LinkParts {
    pub(super) region: Region,
    pub(super) socket: Seqpacket,
    pub(super) info: ServerInfo,
    pub(super) channel_flags: ChannelFlags,
    pub(super) doorbell: Doorbell,
    pub(super) bit: u32,
    pub(super) foreign: bool,
    pub(super) seat: Option<Seat>,
}

/// What the lock protects: who holds which slot, block and ring position.
struct Posting {
    producer: Producer,
    arena: Arena,
    free_slots: Vec<u32>,
    generations: Vec<u32>,
    /// Tickets whose senders no longer wait; the server may still answer them.
    abandoned: Vec<Ticket>,
    pending: Vec<Pending>,
    waiting: usize,
}

/// The right to one message in flight: a slot, and the blocks that its bytes need.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) len: usize,
    pub(super) reply_len: usize,
    message: Option<Block>,
    reply: Option<Block>,
}

const LIVE: u32 = 0;
const SERVER_GONE: u32 = 1;
const DETACHED: u32 = 2;

impl Link {
    /// Puts the link under the monitor's watch.
    pub(super) fn start(parts: LinkParts) -> Result<Arc<Link>> {
        let layout = parts.region.layout();
        let link = Arc::new(Link {
            posting: Mutex::new(Posting {
                producer: Producer::default(),
                arena: Arena::new(layout.arena_len()),
                free_slots: (0..layout.slots()).rev().collect(),
                generations: vec![0; layout.slots() as usize],
                abandoned: Vec::new(),
                pending: Vec::new(),
                waiting: 0,
            }),
            region: parts.region,
            info: parts.info,
            channel_flags: parts.channel_flags,
            spin: Spin::from_environment(),
            socket: parts.socket,
            doorbell: parts.doorbell,
            bit: parts.bit,
            foreign: parts.foreign,
            seat: parts.seat,
            freed: Condvar::new(),
            life: AtomicU32::new(LIVE),
            process: Life::current(),
            watch: OnceLock::new(),
            at_end: Mutex::new(Vec::new()),
        });
        if let Some(seat) = &link.seat {
            seat.take(&link);
        }
        let watch: Arc<dyn Watch> = Arc::<Link>::clone(&link);
        let id = Monitor::current()?.add(watch)?;
        link.watch.set(id).expect("invariant: started once");
        Ok(link)
    }

    /// # Errors
    /// `EBADF` once the connection ended, and in a forked child, which has no part in the region.
    pub(super) fn check_live(&self) -> Result<()> {
        match self.life.load(Ordering::Acquire) {
            LIVE if self.process.is_current() => Ok(()),
            _ => Err(Errno::EBADF),
        }
    }

    /// Why a thread that was blocked when the connection ended is no longer (SND-5, CHN-7).
    pub(super) fn end_error(&self) -> Errno {
        match self.life.load(Ordering::Acquire) {
            DETACHED => Errno::EBADF,
            _ => Errno::ESRCH,
        }
    }

    /// Sets a slot and the blocks aside that a message of `len` bytes with a reply of up to
    /// `reply_len` needs. Waits for them until `deadline_ns`, or not at all without `wait`.
    pub(super) fn reserve(
        &self,
        len: usize,
        reply_len: usize,
        wait: bool,
        deadline_ns: Option<u64>,
    ) -> Result<Ticket> {
        let mut posting = self.lock();
        loop {
            self.check_live()?;
            match posting.try_reserve(&self.region, len, reply_len) {
                Err(Errno::EAGAIN) if wait => {}
                outcome => return outcome,
            }
            posting = self.wait_freed(posting, deadline_ns)?;
        }
    }

    fn wait_freed<'a>(
        &'a self,
        mut posting: MutexGuard<'a, Posting>,
        deadline_ns: Option<u64>,
    ) -> Result<MutexGuard<'a, Posting>> {
        posting.waiting += 1;
        let left = deadline_ns.map(|d| d.saturating_sub(clock::monotonic_ns()));
        let mut posting = match left {
            Some(0) => {
                posting.waiting -= 1;
                return Err(Errno::ETIMEDOUT);
            }
            Some(ns) => {
                let waited = self.freed.wait_timeout(posting, Duration::from_nanos(ns));
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

    /// Gives a ticket back whose slot is answered, or was never posted.
    pub(super) fn release(&self, ticket: Ticket) {
        if !self.process.is_current() {
            return;
        }
        let mut posting = self.lock();
        self.region.disarm(ticket.slot, ticket.generation);
        posting.release(ticket);
        if posting.waiting > 0 {
            self.freed.notify_all();
        }
    }

    /// Leaves a ticket to the server, whose answer nobody waits for any more.
    pub(super) fn abandon(&self, ticket: Ticket) {
        self.lock().abandoned.push(ticket);
    }

    /// Posts the message of a ticket and rings. `inline` is the message if it fits an entry.
    pub(super) fn post(&self, ticket: &Ticket, inline: &[u8], flags: EntryFlags) {
        let entry = self.entry(ticket, flags);
        self.region.arm(ticket.slot, ticket.generation);
        self.lock()
            .producer
            .post_message(&self.region, &entry, inline);
        self.posted(ticket.slot);
    }

    /// Posts the message of a ticket whose answer comes out of the queue under `token`.
    pub(super) fn submit(&self, ticket: Ticket, inline: &[u8], token: Token) {
        let entry = self.entry(&ticket, EntryFlags::ASYNC);
        let (slot, inline) = (ticket.slot, &inline[..ticket.inline_len()]);
        self.region.arm(slot, ticket.generation);
        let mut posting = self.lock();
        posting.pending.push(Pending { token, ticket });
        posting.producer.post_message(&self.region, &entry, inline);
        drop(posting);
        self.posted(slot);
    }

    fn entry(&self, ticket: &Ticket, flags: EntryFlags) -> MessageEntry {
        MessageEntry {
            flags: flags | ticket.flags(),
            priority: priority(),
            slot: ticket.slot,
            generation: ticket.generation,
            tid: thread::current_tid(),
            stamp_ns: self.stamp(),
            len: ticket.len as u32,
            reply_len: ticket.reply_len as u32,
            message: self.claim(ticket.message, ticket.len),
            reply: self.claim(ticket.reply, ticket.reply_len),
        }
    }

    fn posted(&self, slot: u32) {
        self.doorbell.ring(self.bit);
        // SYNC(life): `ring` has a SeqCst fence between the entry and this look, `end` one between its
        // mark and its look at the slots: one of the two sees the other, so no message waits for ever.
        if self.life.load(Ordering::Relaxed) != LIVE {
            self.region.kill(slot);
            if let Some(seat) = &self.seat {
                seat.ring();
            }
        }
    }

    fn stamp(&self) -> u64 {
        if self.doorbell.wants_stamp() {
            clock::monotonic_ns()
        } else {
            0
        }
    }

    /// Takes out every submitted message that is answered or dead.
    pub(super) fn harvest(&self, mut each: impl FnMut(Pending, Waited)) {
        let mut posting = self.lock();
        let mut index = 0;
        while index < posting.pending.len() {
            let slot = posting.pending[index].ticket.slot;
            match self.region.poll_slot(slot, SlotState::Unblocking) {
                Some(end @ (Waited::Done | Waited::Dead)) => {
                    each(posting.pending.swap_remove(index), end);
                }
                _ => index += 1,
            }
        }
    }

    /// The slot and generation of a submitted message.
    pub(super) fn find_pending(&self, is: impl Fn(&Pending) -> bool) -> Option<(u32, u32)> {
        let posting = self.lock();
        posting
            .pending
            .iter()
            .find(|p| is(p))
            .map(|p| (p.ticket.slot, p.ticket.generation))
    }

    pub(super) fn post_pulse(&self, priority: Priority, code: PulseCode, value: i64) -> Result<()> {
        self.check_live()?;
        if self.foreign && !nix::unistd::geteuid().is_root() {
            return Err(Errno::EPERM);
        }
        let entry = PulseEntry {
            priority,
            code,
            value,
            stamp_ns: self.stamp(),
        };
        self.lock().producer.post_pulse(&self.region, &entry)?;
        self.doorbell.ring(self.bit);
        Ok(())
    }

    /// Tells the server's process that the sender of a message wants out.
    pub(super) fn cancel(&self, slot: u32, generation: u32, wish: Wish) -> Result<()> {
        let record = Record::Cancel(Cancel::new(slot, generation, wish));
        self.socket.try_send(&record.encode(), &[])
    }

    /// Where a ticket's message is written, unless it travels inside its entry.
    pub(super) fn message_claim(&self, ticket: &Ticket) -> Option<Claim> {
        ticket
            .message
            .map(|block| self.claim(Some(block), ticket.len))
    }

    /// Where a ticket's reply is found, unless it comes inside the slot.
    pub(super) fn reply_claim(&self, ticket: &Ticket) -> Option<Claim> {
        ticket
            .reply
            .map(|block| self.claim(Some(block), ticket.reply_len))
    }

    fn claim(&self, block: Option<Block>, len: usize) -> Claim {
        let Some(block) = block else {
            return Claim::default();
        };
        self.region
            .claim(block.offset, len as u32)
            .expect("invariant: blocks lie in the arena")
    }

    pub(super) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    pub(super) fn on_end(&self, act: Box<dyn FnOnce() + Send>) {
        let mut at_end = self.at_end.lock().unwrap_or_else(PoisonError::into_inner);
        if self.check_live().is_ok() {
            at_end.push(act);
        } else {
            drop(at_end);
            act();
        }
    }

    pub(super) fn detach(&self) {
        // In a forked child the connection is the parent's: closing our descriptor is all.
        if self.process.is_current() && self.end(DETACHED) {
            self.socket.shutdown();
            if let (Some(id), Ok(monitor)) = (self.watch.get(), Monitor::current()) {
                monitor.remove(*id);
            }
        }
    }

    /// Ends the connection once: every blocked thread leaves. Answers whether it was live.
    fn end(&self, why: u32) -> bool {
        let first = self
            .life
            .compare_exchange(LIVE, why, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok();
        if !first {
            return false;
        }
        std::sync::atomic::fence(Ordering::SeqCst); // SYNC(life)
        for slot in 0..self.region.layout().slots() {
            self.region.kill(slot);
        }
        drop(self.lock());
        self.freed.notify_all();
        if let Some(seat) = &self.seat {
            seat.ring();
        }
        if why == SERVER_GONE {
            channel::coid_died(self.info.coid);
        }
        let at_end =
            std::mem::take(&mut *self.at_end.lock().unwrap_or_else(PoisonError::into_inner));
        at_end.into_iter().for_each(|act| act());
        true
    }

    fn lock(&self) -> MutexGuard<'_, Posting> {
        self.posting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Link {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd().as_fd()
    }

    fn ready(self: Arc<Self>, _: WatchId) -> Next {
        // A server sends nothing after its answer to attach: whatever comes is the end.
        let mut byte = [0];
        match self.socket.try_receive(&mut byte) {
            Err(Errno::EAGAIN) => Next::Keep,
            _ => {
                self.end(SERVER_GONE);
                Next::Remove
            }
        }
    }
}

impl Posting {
    fn try_reserve(&mut self, region: &Region, len: usize, reply_len: usize) -> Result<Ticket> {
        self.reap(region);
        let message = match len {
            0..=INLINE_MAX => None,
            _ => Some(self.arena.allocate(len)?),
        };
        let reply = match reply_len {
            0..=REPLY_INLINE_MAX => None,
            _ => match self.arena.allocate(reply_len) {
                Ok(block) => Some(block),
                Err(error) => {
                    message
                        .into_iter()
                        .for_each(|block| self.arena.release(block));
                    return Err(error);
                }
            },
        };
        let Some(slot) = self.free_slots.pop() else {
            message
                .into_iter()
                .chain(reply)
                .for_each(|block| self.arena.release(block));
            return Err(Errno::EAGAIN);
        };
        let generation = &mut self.generations[slot as usize];
        // The state word keeps 28 bits of it.
        *generation = generation.wrapping_add(1) & 0x0fff_ffff;
        Ok(Ticket {
            slot,
            generation: *generation,
            len,
            reply_len,
            message,
            reply,
        })
    }

    fn release(&mut self, ticket: Ticket) {
        ticket
            .message
            .into_iter()
            .chain(ticket.reply)
            .for_each(|b| self.arena.release(b));
        self.free_slots.push(ticket.slot);
    }

    /// Takes back the abandoned tickets that the server answered meanwhile.
    fn reap(&mut self, region: &Region) {
        let mut index = 0;
        while index < self.abandoned.len() {
            let slot = self.abandoned[index].slot;
            match region.poll_slot(slot, SlotState::Unblocking) {
                Some(Waited::Done | Waited::Dead) => {
                    let ticket = self.abandoned.swap_remove(index);
                    self.release(ticket);
                }
                _ => index += 1,
            }
        }
    }
}

impl Ticket {
    /// Bytes of the message that travel inside the entry.
    pub(super) fn inline_len(&self) -> usize {
        if self.message.is_none() { self.len } else { 0 }
    }

    fn flags(&self) -> EntryFlags {
        let mut flags = EntryFlags::empty();
        flags.set(EntryFlags::INLINE, self.message.is_none());
        flags.set(EntryFlags::REPLY_INLINE, self.reply.is_none());
        flags
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("info", &self.info)
            .field("live", &self.check_live())
            .finish()
    }
}
