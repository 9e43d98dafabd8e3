//! A record in a mapping, checked once: what lies at a place in it that the program text names needs no other
//! check.
//!
//! An entry or a slot is touched at half a dozen places within a few nanoseconds. Comparing each of them with
//! the mapping's end costs more than touching it.

use std::marker::PhantomData;

use crate::shm::{mapping::Mapping, short};

/// Bytes that every processor moves by one load and one store.
pub(crate) const BLOCK_LEN: usize = 16;

/// `LEN` bytes of a mapping, from an offset that is a multiple of eight. Holding one proves that they lie
/// inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a, const LEN: usize> {
    start: *mut u8,
    mapping: PhantomData<&'a Mapping>,
}

impl Mapping {
    /// The record at `offset`.
    ///
    /// # Panics
    /// When the offset is unaligned or the record not inside: offsets come from a [`super::Layout`], never
    /// from a peer.
    #[inline(always)]
    pub(super) fn record<const LEN: usize>(&self, offset: usize) -> Record<'_, LEN> {
        assert!(offset.is_multiple_of(8), "invariant: records are aligned");
        Record {
            start: self.ptr(offset, LEN),
            mapping: PhantomData,
        }
    }
}

impl<const LEN: usize> Record<'_, LEN> {
    /// The words from `AT` on, each by one load.
    #[inline(always)]
    pub(super) fn read_words<const AT: usize, const N: usize>(self) -> [u64; N] {
        const { assert!(AT.is_multiple_of(8) && AT + 8 * N <= LEN) };
        // SAFETY: in bounds of a live mapping and aligned, as the record is and all the words are in it; any bits
        // are a valid u64.
        std::array::from_fn(|at| unsafe {
            let from = self.start.add(AT).cast::<u64>();
            from.add(at).read_volatile()
        })
    }

    /// Stores the words from `AT` on, each by one store.
    ///
    /// What was just written in small parts is put together in registers, and not read back through wider
    /// loads: these would wait until every earlier store, to whosever line, has reached the cache.
    #[inline(always)]
    pub(super) fn write_words<const AT: usize, const N: usize>(self, words: [u64; N]) {
        const { assert!(AT.is_multiple_of(8) && AT + 8 * N <= LEN) };
        for (at, word) in words.into_iter().enumerate() {
            // SAFETY: as in `read_words`, of a writable mapping; nobody holds a reference to it.
            unsafe {
                let to = self.start.add(AT).cast::<u64>();
                to.add(at).write_volatile(word);
            }
        }
    }

    /// The half word at `AT`, by one load.
    #[inline(always)]
    pub(super) fn read_half<const AT: usize>(self) -> u32 {
        const { assert!(AT.is_multiple_of(4) && AT + 4 <= LEN) };
        // SAFETY: as in `read_words`, for four bytes.
        unsafe { self.start.add(AT).cast::<u32>().read_volatile() }
    }

    /// Stores the half word at `AT`, by one store.
    #[inline(always)]
    pub(super) fn write_half<const AT: usize>(self, half: u32) {
        const { assert!(AT.is_multiple_of(4) && AT + 4 <= LEN) };
        // SAFETY: as in `write_words`, for four bytes.
        unsafe { self.start.add(AT).cast::<u32>().write_volatile(half) };
    }

    /// Copies the `N` bytes from `AT` on out. A peer that writes meanwhile makes them arbitrary, no more.
    #[inline(always)]
    pub(super) fn read_bytes<const AT: usize, const N: usize>(self, into: &mut [u8; N]) {
        const { assert!(AT + N <= LEN) };
        // SAFETY: the source is in bounds of a live mapping; the destination is private and exclusive, so they do
        // not overlap; any byte is a valid u8.
        unsafe { std::ptr::copy_nonoverlapping(self.start.add(AT), into.as_mut_ptr(), N) };
    }

    /// Copies few bytes in, to `AT` and behind it.
    ///
    /// # Panics
    /// When there are more than fit.
    #[inline(always)]
    pub(super) fn write_short<const AT: usize>(self, bytes: &[u8]) {
        assert!(bytes.len() <= LEN - AT, "invariant: bytes lie inside");
        // SAFETY: the destination is in bounds of a live writable mapping by the check; the source is private,
        // so they do not overlap; nobody holds a reference to the destination.
        unsafe { short::copy(bytes.as_ptr(), self.start.add(AT), bytes.len()) }
    }

    /// Copies blocks in, to `AT` and behind it, the last one first: what a peer polls stands at the beginning.
    ///
    /// # Panics
    /// When there are more than fit.
    #[inline(always)]
    pub(super) fn write_blocks<const AT: usize>(self, blocks: &[[u8; BLOCK_LEN]]) {
        assert!(
            blocks.len() <= const { (LEN - AT) / BLOCK_LEN },
            "invariant: blocks lie inside their record"
        );
        for (at, block) in blocks.iter().enumerate().rev() {
            // SAFETY: in bounds of a live writable mapping, as block `at` is in the record by the check above;
            // the source is private, so they do not overlap; nobody holds a reference to the destination.
            unsafe {
                let to = self.start.add(AT + at * BLOCK_LEN);
                std::ptr::copy_nonoverlapping(block.as_ptr(), to, BLOCK_LEN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memfd;

    #[test]
    fn a_record_is_read_as_it_was_written_and_lies_inside() {
        let fd = memfd::create_sealed("test", 4096).unwrap();
        let map = Mapping::new(&fd, 4096).unwrap();
        let record = map.record::<64>(4096 - 64);
        record.write_words::<8, 2>([1, 2]);
        record.write_half::<24>(3);
        record.write_blocks::<32>(&[[4; BLOCK_LEN], [5; BLOCK_LEN]]);
        assert_eq!(record.read_words::<8, 3>(), [1, 2, 3]);
        let mut bytes = [0; 20];
        record.read_bytes::<44, 20>(&mut bytes);
        assert_eq!((&bytes[..4], &bytes[4..]), (&[4; 4][..], &[5; 16][..]));
        for offset in [4096 - 56, 4, usize::MAX - 7] {
            let beyond = std::panic::AssertUnwindSafe(|| map.record::<64>(offset).read_half::<0>());
            assert!(std::panic::catch_unwind(beyond).is_err(), "{offset}");
        }
        let three = [[0; BLOCK_LEN]; 3];
        let beyond = std::panic::AssertUnwindSafe(|| record.write_blocks::<32>(&three));
        assert!(std::panic::catch_unwind(beyond).is_err());
    }
}
