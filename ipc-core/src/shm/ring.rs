//! The submission ring: entries in order, each handed over by its own sequence word.
//!
//! The entry at position `p` is full when its sequence word is `p + 1`; positions wrap at 2^32. The
//! ring has twice as many entries as there are slots: every message in flight holds a slot, and pulses
//! take at most the other half, so a message never finds the ring full.

use crate::{
    abi::{Errno, Priority, Result},
    shm::{
        Entry, Lines, Region,
        entry::{Copied, Like, MessageEntry, PulseEntry, Taken},
        layout::{HEAD_OFFSET, RISE_OFFSET},
    },
    sync::Ordering,
    sys::failpoint::{self, Failpoint},
};

/// The client's end. Private memory: the tail is nobody else's business.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    tail: u32,
    /// Of the entry posted last.
    priority: Priority,
}

/// The server's end. Private memory: a client that scribbles cannot move it.
#[derive(Debug, Default)]
pub(crate) struct Consumer {
    head: u32,
}

impl Producer {
    /// Posts a message whose slot the caller holds; that it does is why there is room.
    #[inline(always)]
    pub(crate) fn post_message(&mut self, region: &Region, entry: &MessageEntry, inline: &[u8]) {
        self.write_message(region, entry, inline);
        self.publish(region, 1);
    }

    /// Writes a message as [`post_message`](Self::post_message) does, for a [`publish`](Self::publish) that
    /// must follow before anything else is posted.
    #[inline(always)]
    pub(crate) fn write_message(&mut self, region: &Region, entry: &MessageEntry, inline: &[u8]) {
        self.note_priority(region, entry.priority);
        entry.write(region.lines().entry(self.tail), inline);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Posts a pulse.
    ///
    /// # Errors
    /// `EAGAIN` when as many pulses as there are slots may still wait (PLS-2).
    pub(crate) fn post_pulse(&mut self, region: &Region, entry: &PulseEntry) -> Result<()> {
        let head = region
            .mapping()
            .atomic_u32(HEAD_OFFSET)
            .load(Ordering::Acquire);
        // A hostile server can only make its own client see EAGAIN or overwrite its own entries.
        if self.tail.wrapping_sub(head) >= region.layout().slots() {
            return Err(Errno::EAGAIN);
        }
        self.note_priority(region, entry.priority);
        entry.write(region.lines().entry(self.tail));
        self.tail = self.tail.wrapping_add(1);
        self.publish(region, 1);
        Ok(())
    }

    /// The position of the next entry.
    pub(crate) fn tail(&self) -> u32 {
        self.tail
    }

    /// Says that the entry about to be published is to be received before the one in front of it. Whoever
    /// takes entries in their order, without a look at those behind, sees by one word whether it may.
    #[inline(always)]
    fn note_priority(&mut self, region: &Region, priority: Priority) {
        if priority > std::mem::replace(&mut self.priority, priority) {
            let rise = region.mapping().atomic_u32(RISE_OFFSET);
            rise.store(self.tail.wrapping_add(1), Ordering::Release);
        }
    }

    /// Says of the entry written last that it rises. It may not; but a rise that is as long ago as half of all positions
    /// would count as one to come.
    #[cold]
    fn renew_rise(&self, region: &Region) {
        let rise = region.mapping().atomic_u32(RISE_OFFSET);
        rise.store(self.tail, Ordering::Release);
    }

    /// Hands the last `count` entries over that were written, the last of them first: a server that looks
    /// sees all of them or none. One that followed the writing from entry to entry would fetch each line
    /// half written, and the writer would have to fetch it back.
    #[inline(always)]
    pub(crate) fn publish(&mut self, region: &Region, count: u32) {
        failpoint::pass(Failpoint::EntryWritten);
        if quarter(self.tail) != quarter(self.tail.wrapping_sub(count)) {
            self.renew_rise(region);
        }
        let lines = region.lines();
        for back in 0..count {
            let sequence = self.tail.wrapping_sub(back);
            let word = lines.sequence(sequence.wrapping_sub(1));
            word.store(sequence, Ordering::Release);
        }
        failpoint::pass(Failpoint::EntryPublished);
    }
}

impl Consumer {
    /// The next entry, or `None` when none is full. The caller publishes its head when it has drained.
    ///
    /// # Errors
    /// A malformed entry is consumed and answered with the error: the client is to blame.
    pub(crate) fn pop(&mut self, region: &Region) -> Result<Option<Entry>> {
        if !self.is_ready(region) {
            return Ok(None);
        }
        let record = region.lines().entry(self.head);
        self.head = self.head.wrapping_add(1);
        Entry::read(region, record).map(Some)
    }

    /// Whether the next entry is full.
    #[inline]
    pub(crate) fn is_ready(&self, region: &Region) -> bool {
        is_full(region, self.head)
    }

    /// Takes the next entry if it is full and a message `like` one that was [`peek`](Self::peek)ed at, to where
    /// it stays. The `lines` are those of the region.
    ///
    /// # Errors
    /// As [`pop`](Self::pop).
    #[inline(always)]
    pub(crate) fn pop_like(
        &mut self,
        region: &Region,
        lines: Lines<'_>,
        like: &Like,
        into: &mut Copied,
    ) -> Result<Taken> {
        let next = self.head.wrapping_add(1);
        if lines.sequence(self.head).load(Ordering::Acquire) != next {
            return Ok(Taken::Nothing);
        }
        let taken = into.take(region, lines, lines.entry(self.head), like);
        if taken != Ok(Taken::Nothing) {
            self.head = next;
        }
        taken
    }

    /// What the next entry says of itself, if it is full and a message. A hint: the client can change it until
    /// it is popped, to no one's harm but its own.
    pub(crate) fn peek(&self, region: &Region) -> Option<Like> {
        let is_full = is_full(region, self.head);
        is_full.then(|| Like::peek(region.lines().entry(self.head)))?
    }

    /// Whether no entry behind the next one is to be received before it, as the client says.
    pub(crate) fn is_in_order(&self, region: &Region) -> bool {
        let rise = region.mapping().atomic_u32(RISE_OFFSET);
        let behind = rise.load(Ordering::Acquire).wrapping_sub(self.head);
        // The word is one past its entry; a rise long ago lies a negative way behind.
        behind.cast_signed() <= 1
    }

    /// The position of the next entry.
    pub(crate) fn head(&self) -> u32 {
        self.head
    }

    /// Tells the client how far its entries were taken, so that its pulses find room.
    pub(crate) fn publish_head(&self, region: &Region) {
        region
            .mapping()
            .atomic_u32(HEAD_OFFSET)
            .store(self.head, Ordering::Release);
    }
}

/// Which of the four stretches of all positions one is in: the word for the last rise is written again with each, whether
/// or not one rose. None begins where positions wrap.
fn quarter(position: u32) -> u32 {
    position.wrapping_add(1 << 29) >> 30
}

/// Whether the entry at `position` is full; for a thread that watches without the consumer's lock.
#[inline]
pub(crate) fn is_full(region: &Region, position: u32) -> bool {
    let word = region.mapping().atomic_u32(region.layout().entry(position));
    word.load(Ordering::Acquire) == position.wrapping_add(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{abi::PulseCode, shm::Layout};

    fn pulse(value: i64) -> PulseEntry {
        PulseEntry {
            priority: 1,
            code: PulseCode(0),
            value,
            stamp_ns: 0,
        }
    }

    #[test]
    fn pulses_come_out_in_order_and_a_full_half_is_eagain() {
        let (region, _fd) = Region::create(Layout::new(4, 0).unwrap()).unwrap();
        let (mut producer, mut consumer) = (
            Producer {
                tail: u32::MAX - 5,
                ..Producer::default()
            },
            Consumer { head: u32::MAX - 5 },
        );
        consumer.publish_head(&region);
        for round in 0..5 {
            for value in 0..4 {
                producer
                    .post_pulse(&region, &pulse(round * 10 + value))
                    .unwrap();
            }
            assert_eq!(producer.post_pulse(&region, &pulse(99)), Err(Errno::EAGAIN));
            for value in 0..4 {
                let entry = consumer.pop(&region).unwrap();
                assert_eq!(entry, Some(Entry::Pulse(pulse(round * 10 + value))));
            }
            assert_eq!(consumer.pop(&region), Ok(None));
            consumer.publish_head(&region);
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "ring_exhaustive_tests.rs"]
mod exhaustive_tests;

#[cfg(all(test, not(loom)))]
#[path = "ring_order_tests.rs"]
mod order_tests;
