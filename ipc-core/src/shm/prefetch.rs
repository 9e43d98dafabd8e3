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
    /// Server: the entry at ring position `position`, whose first line is polled, will be read: its other line.
    ///
    /// Who polls asks for it with every look, so that both lines are on their way at once when they come;
    /// asked for after the first is there, the second takes as long again.
    #[inline(always)]
    pub(crate) fn will_read_far_entry(&self, position: u32) {
        self.prefetch::<false>(
            self.layout().entry(position) + LINE_LEN,
            ENTRY_LEN - LINE_LEN,
        );
    }

    /// Client: as [`will_read_far_entry`](Self::will_read_far_entry), for the answer in `slot`.
    #[inline(always)]
    pub(crate) fn will_read_far_slot(&self, slot: u32) {
        self.prefetch::<false>(self.layout().slot(slot) + LINE_LEN, SLOT_LEN - LINE_LEN);
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

    /// Client: a message will be written to `claim`, at its beginning and likely at its end.
    #[inline]
    pub(crate) fn will_write_claim(&self, claim: Claim) {
        let last = claim.len().saturating_sub(1);
        let start = self.layout().arena() + claim.offset() as usize;
        if !claim.is_empty() {
            self.prefetch::<true>(start, 1);
            self.prefetch::<true>(start + last, 1);
        }
    }

    /// Server: `len` bytes from `offset` of the message at `claim` will be read.
    #[inline]
    pub(crate) fn will_read_part(&self, claim: Claim, offset: usize, len: usize) {
        let (start, len) = self.part(claim, offset, len);
        self.prefetch::<false>(start, len);
    }

    #[inline(always)]
    fn prefetch<const WRITE: bool>(&self, offset: usize, len: usize) {
        if cfg!(loom) {
            return;
        }
        for at in (offset..offset + len).step_by(LINE_LEN) {
            line::<WRITE>(self.mapping().ptr(at, 1));
        }
    }
}

/// Asks for the line of an address, which will be read or written.
#[inline(always)]
pub(super) fn line<const WRITE: bool>(address: *mut u8) {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    {
        use std::arch::{
            asm,
            x86_64::{_MM_HINT_T0, _mm_prefetch},
        };
        // SAFETY: either instruction touches nothing that a program can see, whatever the address. Every x86-64
        // processor takes `prefetchw`, some as an instruction to do nothing; the compiler's own function makes
        // it a prefetch for reading unless it is told that the processor is a newer one.
        unsafe {
            if WRITE {
                asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
            } else {
                _mm_prefetch::<_MM_HINT_T0>(address.cast_const().cast());
            }
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    let _ = address;
}
