//! One connection, as the server holds it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::{
    abi::{Chid, ClientInfo, Coid, Nd, Pid, Scoid},
    channel::events::Window,
    shm::{
        Claim, Completion, DoneSlots, Doorbell, EntryFlags, Inline, MessageEntry, Region, SlotState,
    },
    sys::{
        failpoint::{self, Failpoint},
        futex::Wake,
        seqpacket::Seqpacket,
    },
};

/// A connection that passed the checks of attach. Lives until its last message is answered, so its
/// region stays mapped that long.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Names the connection for the life of the process: never used again, unlike coid and scoid.
    pub(super) id: u64,
    pub(super) region: Region,
    pub(super) client: ClientInfo,
    pub(super) coid: Coid,
    pub(super) scoid: Scoid,
    /// Whether its pulses are taken: its user is ours, or privileged (PLS-3).
    pub(super) may_pulse: bool,
    /// Where the message is really meant to go, for the connections of a router.
    pub(super) target: Option<(Nd, Pid, Chid)>,
    /// The server's node as the client numbers it: the router's word for a remote client.
    pub(super) srcnd: Nd,
    /// The client's own doorbell for answers it does not wait for, and its bit.
    pub(super) completions: Option<(Doorbell, u32)>,
    pub(super) socket: Arc<Seqpacket>,
    /// The next ring position, for a thread that looks without the channel's lock.
    pub(super) head_hint: AtomicU32,
    /// Events delivered to the client and not taken by it (PLS-5).
    pub(super) events: Window,
}

/// A message in flight: everything that is known of it stands in private memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    /// Whose it is: the connection's index in its channel, as long as the table has the message.
    pub(super) index: u32,
    /// Hull of what was written to the reply buffer so far.
    pub(super) written: (u32, u32),
    /// A router's message: a wish to have it back changes nothing any more. There was one, or the server has it.
    pub(super) return_settled: bool,
    pub(super) entry: MessageEntry,
    pub(super) inline: Inline,
}

impl Attached {
    /// An id for a new connection.
    pub(super) fn new_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there is an entry to take, for a thread that looks again and again without the channel's lock.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        let head = self.head_hint.load(Ordering::Relaxed);
        self.region.will_read_far_entry(head);
        crate::shm::is_full(&self.region, head)
    }

    /// The connection is no longer served: tells a client that does not see the hang-up.
    pub(super) fn end(&self) {
        self.region.end();
        failpoint::pass(Failpoint::EndSaid);
        if let Some((bell, bit)) = &self.completions {
            bell.ring(*bit);
        }
    }

    /// Tells the client that its message was received, if it asked to be told. A router only takes messages along:
    /// it [says](crate::ReceivedMessage::report_receipt) when the server has received one.
    pub(super) fn report_receipt(&self, flags: EntryFlags, slot: u32, generation: u32) {
        if flags.contains(EntryFlags::REPORT_RECEIVE) && self.target.is_none() {
            self.tell_received(flags, slot, generation);
        }
    }

    /// Tells the client that its message was received.
    pub(super) fn tell_received(&self, flags: EntryFlags, slot: u32, generation: u32) {
        self.region.move_to(slot, generation, SlotState::Received);
        if let Some(wake) = self.owed_news(flags, slot) {
            wake.make();
        }
    }

    /// Something was just stored in a slot: the wake-up that the caller owes whoever sleeps on it, or on the completion
    /// queue that its message came through.
    fn owed_news(&self, flags: EntryFlags, slot: u32) -> Option<Wake> {
        match &self.completions {
            Some((bell, bit)) if flags.contains(EntryFlags::ASYNC) => {
                let mut slots = DoneSlots::default();
                slots.add(slot);
                self.region.note_done(&slots);
                bell.owed_ring(*bit)
            }
            _ => self.region.owed_wake(slot),
        }
    }

    /// Cuts the connection: the client and the monitor both see the hang-up.
    pub(super) fn cut(&self) {
        self.socket.shutdown();
    }
}

/// Every method is given the connection that the message came through.
impl InFlight {
    /// Copies from the client's message; 0 past its end.
    pub(super) fn read(&self, attached: &Attached, offset: usize, into: &mut [u8]) -> usize {
        if !self.entry.flags.contains(EntryFlags::INLINE) {
            return attached.region.read(self.entry.message, offset, into);
        }
        self.inline.read_part(offset, into)
    }

    /// Copies into the client's reply buffer, bounded by it.
    pub(super) fn write(&self, attached: &Attached, offset: usize, bytes: &[u8]) -> usize {
        if !self.replies_inline() {
            return attached.region.write(self.entry.reply, offset, bytes);
        }
        let room = (self.entry.reply_len as usize).saturating_sub(offset);
        let len = bytes.len().min(room);
        if len > 0 {
            attached
                .region
                .write_reply_inline(self.entry.slot, offset, &bytes[..len]);
        }
        len
    }

    /// Where the message lies in the region, unless it came inside its entry.
    pub(super) fn message_claim(&self) -> Option<Claim> {
        (!self.entry.flags.contains(EntryFlags::INLINE)).then_some(self.entry.message)
    }

    pub(super) fn note_written(&mut self, offset: usize, len: usize) {
        if len == 0 {
            return;
        }
        let (start, end) = (offset as u32, (offset + len) as u32);
        self.written = match self.written {
            (0, 0) => (start, end),
            (old_start, old_end) => (old_start.min(start), old_end.max(end)),
        };
    }

    /// Whether the reply goes into the slot's own lines.
    pub(super) fn replies_inline(&self) -> bool {
        self.entry.flags.contains(EntryFlags::REPLY_INLINE)
    }

    /// Hands the answer over, with `written` from the table. [`tell`](Self::tell) must follow.
    pub(super) fn answer(&self, attached: &Attached, answer: &Completion) {
        let (slot, generation) = (self.entry.slot, self.entry.generation);
        attached.region.answer(slot, generation, answer);
    }

    /// Wakes whoever sleeps until the answer that was just handed over; answers whether somebody did.
    pub(super) fn tell(&self, attached: &Attached) -> bool {
        self.owed_wake(attached).is_some_and(|wake| wake.make() > 0)
    }

    /// As [`tell`](Self::tell), but leaves the waking to the caller.
    pub(super) fn owed_wake(&self, attached: &Attached) -> Option<Wake> {
        attached.owed_news(self.entry.flags, self.entry.slot)
    }
}
