//! The done set: which slots of a region were answered for a completion queue, or received for who asked to be told.
//!
//! A queue that is told "look at connection n" would have to ask each message in flight on it, and most of
//! them are not answered. The server says which are: a bit per slot, set before the queue's doorbell is rung.
//! Bits are hints, and prove nothing: the slot's own word says whether its answer is there. A hostile server
//! that sets them all makes its own client look at every slot, one that sets none keeps it waiting, as it may
//! anyway.
//!
//! SYNC(done): the server stores its answer, then sets the bit (Release), then rings; the client takes the
//! doorbell's bit, then these (Acquire), then reads the state. Whatever the client does not see with this
//! ring comes with the one that follows.

use crate::{
    shm::{
        Region,
        layout::{DONE_OFFSET, DONE_WORDS},
    },
    sync::{AtomicU64, Ordering},
    sys::failpoint::{self, Failpoint},
};

/// Slots of answers that are told of together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DoneSlots([u64; DONE_WORDS]);

impl DoneSlots {
    /// One more.
    #[inline]
    pub(crate) fn add(&mut self, slot: u32) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }
}

impl Region {
    fn done_word(&self, word: usize) -> &AtomicU64 {
        self.mapping().atomic_u64(DONE_OFFSET + 8 * word)
    }

    /// Words of the set that have bits for slots of this region.
    fn done_words(&self) -> usize {
        self.layout().slots().div_ceil(64) as usize
    }

    /// Server: these slots were answered. The completion queue's doorbell is to be rung next.
    pub(crate) fn note_done(&self, slots: &DoneSlots) {
        for (word, bits) in slots.0.iter().enumerate().take(self.done_words()) {
            if *bits != 0 {
                self.done_word(word).fetch_or(*bits, Ordering::AcqRel); // SYNC(done)
            }
        }
        failpoint::pass(Failpoint::DoneNoted);
    }

    /// Client: takes the bits and names their slots, each of which exists, lowest first.
    pub(crate) fn take_done(&self, mut each: impl FnMut(u32)) {
        for at in 0..self.done_words() {
            let word = self.done_word(at);
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::AcqRel); // SYNC(done)
            while bits != 0 {
                let slot = at as u32 * 64 + bits.trailing_zeros();
                if slot < self.layout().slots() {
                    each(slot);
                }
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shm::Layout;

    fn taken(region: &Region) -> Vec<u32> {
        let mut taken = Vec::new();
        region.take_done(|slot| taken.push(slot));
        taken
    }

    #[test]
    fn what_was_noted_is_taken_once() {
        let (region, _fd) = Region::create(Layout::new(256, 0).unwrap()).unwrap();
        let mut slots = DoneSlots::default();
        [200, 3, 64, 255, 3]
            .iter()
            .for_each(|slot| slots.add(*slot));
        region.note_done(&slots);
        assert_eq!(taken(&region), [3, 64, 200, 255]);
        assert_eq!(taken(&region), []);
    }

    #[test]
    fn a_server_that_sets_every_bit_names_no_slot_that_is_not_there() {
        for slots in [1, 32, 64, 128] {
            let (region, _fd) = Region::create(Layout::new(slots, 0).unwrap()).unwrap();
            for word in 0..DONE_WORDS {
                region.done_word(word).store(u64::MAX, Ordering::Relaxed);
            }
            assert_eq!(taken(&region), Vec::from_iter(0..slots));
        }
    }
}
