//! Lines that are asked for before they are needed.
//!
//! A line that the other side wrote last comes from its cache, at the price of a hundred instructions. Who
//! works through many of them in a row asks for those ahead while it works on the present one. Nothing
//! depends on it: a processor may ignore it, and so does every one that is not x86-64.

use crate::shm::{
    Claim, Region,
    layout::{ENTRY_LEN, LINE_LEN, SLOT_LEN},
};

impl Region {
    /// Client: the entry at ring position `position` will be written.
    pub(crate) fn will_write_entry(&self, position: u32) {
        self.prefetch::<true>(self.layout().entry(position), ENTRY_LEN);
    }

    /// Server: the entry at ring position `position` will be read.
    pub(crate) fn will_read_entry(&self, position: u32) {
        self.prefetch::<false>(self.layout().entry(position), ENTRY_LEN);
    }

    /// Server: the answer to the message of `slot` will be written.
    pub(crate) fn will_write_slot(&self, slot: u32) {
        self.prefetch::<true>(self.layout().slot(slot), SLOT_LEN);
    }

    /// Server: the message at `claim` will be read, at its beginning and likely at its end.
    pub(crate) fn will_read_claim(&self, claim: Claim) {
        let last = claim.len().saturating_sub(1);
        let start = self.layout().arena() + claim.offset() as usize;
        if !claim.is_empty() {
            self.prefetch::<false>(start, 1);
            self.prefetch::<false>(start + last, 1);
        }
    }

    fn prefetch<const WRITE: bool>(&self, offset: usize, len: usize) {
        #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
        for line in (offset..offset + len).step_by(LINE_LEN) {
            use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
            let line = self.mapping().ptr(line, 1).cast_const().cast();
            // SAFETY: the instruction touches nothing that a program can see, whatever the address; this one
            // lies in the mapping.
            unsafe {
                if WRITE {
                    _mm_prefetch::<_MM_HINT_ET0>(line);
                } else {
                    _mm_prefetch::<_MM_HINT_T0>(line);
                }
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
        let _ = (offset, len, LINE_LEN);
    }
}
