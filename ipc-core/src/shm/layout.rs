//! Where things stand in a connection's region.
//!
//! ```text
//! 0        header: magic, version, slots, arena length; whether the server ended the connection
//! 64       published head of the submission ring (written by the server)
//! 128      done set: a bit for each slot whose answer the completion queue was told of
//! 256      submission ring: 2 x slots entries of 128 bytes
//! ...      slots: one reply line of 128 bytes per message in flight
//! page     arena: payload that does not fit a line
//! ```

use crate::abi::{
    Errno, Result,
    limits::{ARENA_LEN_MAX, SLOTS_MAX},
};

pub(crate) const ENTRY_LEN: usize = 128;
pub(crate) const SLOT_LEN: usize = 128;
/// Bytes that processors hand over at once.
pub(crate) const LINE_LEN: usize = 64;
pub(super) const PAGE_LEN: usize = 4096;

pub(crate) const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"QREG");
/// Raised with every change of what a byte of a region means, or of who wakes whom on which word: programs of
/// different builds refuse each other then, instead of sleeping on words that nobody rings.
pub(crate) const HEADER_VERSION: u32 = 3;
pub(crate) const MAGIC_OFFSET: usize = 0;
pub(crate) const VERSION_OFFSET: usize = 4;
pub(crate) const SLOTS_OFFSET: usize = 8;
pub(crate) const ARENA_LEN_OFFSET: usize = 16;
pub(crate) const END_OFFSET: usize = 32;
/// Where the client says how far its ring is in order, and how many of its threads sleep on slots: in a line
/// that it writes for nothing else.
pub(crate) const RISE_OFFSET: usize = 24;
pub(crate) const SLEEPERS_OFFSET: usize = 28;
pub(crate) const HEAD_OFFSET: usize = 64;
pub(crate) const DONE_OFFSET: usize = 128;
/// Words of the done set.
pub(crate) const DONE_WORDS: usize = SLOTS_MAX as usize / 64;
const RING_OFFSET: usize = 256;

/// The layout that follows from the two numbers a client chooses. Holding one proves that every
/// offset it gives lies in a region of [`len`](Self::len) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    slots: u32,
    arena_len: u32,
}

impl Layout {
    /// # Errors
    /// `EINVAL` unless `slots` is a power of two up to `SLOTS_MAX` and `arena_len` a multiple of a
    /// page up to `ARENA_LEN_MAX`.
    pub(crate) fn new(slots: u32, arena_len: u32) -> Result<Layout> {
        let slots_ok = slots.is_power_of_two() && slots <= SLOTS_MAX;
        let arena_ok = arena_len <= ARENA_LEN_MAX && (arena_len as usize).is_multiple_of(PAGE_LEN);
        if slots_ok && arena_ok {
            Ok(Layout { slots, arena_len })
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Messages that can be in flight at once.
    #[inline]
    pub(crate) const fn slots(self) -> u32 {
        self.slots
    }

    /// Entries of the submission ring: every slot, and as many pulses beside them.
    #[inline]
    pub(crate) const fn ring_len(self) -> u32 {
        2 * self.slots
    }

    pub(crate) const fn arena_len(self) -> u32 {
        self.arena_len
    }

    /// Offset of the entry at ring position `position`, which wraps.
    #[inline]
    pub(crate) const fn entry(self, position: u32) -> usize {
        RING_OFFSET + (position & (self.ring_len() - 1)) as usize * ENTRY_LEN
    }

    /// Offset of a slot.
    ///
    /// # Panics
    /// When there is no such slot: a peer's slot number is checked before it comes here.
    #[inline]
    pub(crate) fn slot(self, index: u32) -> usize {
        assert!(index < self.slots, "invariant: slot within the region");
        RING_OFFSET + self.ring_len() as usize * ENTRY_LEN + index as usize * SLOT_LEN
    }

    pub(crate) const fn arena(self) -> usize {
        let lines =
            RING_OFFSET + self.ring_len() as usize * ENTRY_LEN + self.slots as usize * SLOT_LEN;
        lines.next_multiple_of(PAGE_LEN)
    }

    /// Bytes of the whole region.
    pub(crate) const fn len(self) -> usize {
        self.arena() + self.arena_len as usize
    }
}

const _: () = assert!(
    ARENA_LEN_OFFSET + 8 <= RISE_OFFSET
        && RISE_OFFSET + 4 <= SLEEPERS_OFFSET
        && SLEEPERS_OFFSET + 4 <= END_OFFSET
        && END_OFFSET + 4 <= HEAD_OFFSET
        && HEAD_OFFSET + 4 <= DONE_OFFSET
        && DONE_OFFSET + 8 * DONE_WORDS <= RING_OFFSET
);
const _: () = assert!(RING_OFFSET.is_multiple_of(ENTRY_LEN));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_region_do_not_overlap_and_lie_inside() {
        for slots in [1, 2, 32, 1024] {
            let layout = Layout::new(slots, 8192).unwrap();
            assert_eq!(layout.entry(0), layout.entry(layout.ring_len()));
            assert!(layout.entry(layout.ring_len() - 1) + ENTRY_LEN <= layout.slot(0));
            assert!(layout.slot(slots - 1) + SLOT_LEN <= layout.arena());
            assert_eq!(layout.arena() + 8192, layout.len());
        }
    }

    #[test]
    fn numbers_a_peer_may_not_choose_are_refused() {
        for (slots, arena_len) in [(0, 0), (3, 0), (2 * SLOTS_MAX, 0), (1, 1), (1, u32::MAX)] {
            assert_eq!(Layout::new(slots, arena_len), Err(Errno::EINVAL));
        }
    }
}
