//! A record in a mapping, checked once: what lies at a place in it that the program text names needs no other
//! check.
//!
//! An entry or a slot is touched at half a dozen places within a few nanoseconds. Comparing each of them with
//! the mapping's end costs more than touching it.

use std::marker::PhantomData;

use crate::{
    shm::{layout::LINE_LEN, mapping::Mapping, prefetch, short},
    sync::AtomicU32,
};

/// Bytes that are copied as a whole: as many as a slot's first line has room for.
pub(crate) const BLOCK_LEN: usize = 32;

/// Bytes of two words, which are read by one load where the processor has one.
const PAIR_LEN: usize = 16;

/// The first byte of a mapping, for whoever knows what lies where in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base<'a> {
    start: *mut u8,
    mapping: PhantomData<&'a Mapping>,
}

/// `LEN` bytes of a mapping, from an offset that is a multiple of sixteen. Holding one proves that they lie
/// inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a, const LEN: usize> {
    start: *mut u8,
    mapping: PhantomData<&'a Mapping>,
}

// SAFETY: it stands for a shared reference to the mapping, which any thread may use; it is checked where it is
// made, and every access through it is as good from one thread as from another.
unsafe impl<const LEN: usize> Send for Record<'_, LEN> {}

// SAFETY: as for `Send`.
unsafe impl<const LEN: usize> Sync for Record<'_, LEN> {}

impl Mapping {
    #[inline(always)]
    pub(super) fn base(&self) -> Base<'_> {
        Base {
            start: self.ptr(0, 0),
            mapping: PhantomData,
        }
    }
}

impl<'a> Base<'a> {
    /// The record at `offset`.
    ///
    /// # Safety
    /// The offset is a multiple of sixteen, and the record inside the mapping.
    #[inline(always)]
    pub(super) unsafe fn record<const LEN: usize>(self, offset: usize) -> Record<'a, LEN> {
        Record {
            // SAFETY: inside one mapping, as the caller says.
            start: unsafe { self.start.add(offset) },
            mapping: PhantomData,
        }
    }
}

impl<'a, const LEN: usize> Record<'a, LEN> {
    /// The atomic at `AT`.
    #[inline(always)]
    pub(super) fn atomic_u32<const AT: usize>(self) -> &'a AtomicU32 {
        const { assert!(AT.is_multiple_of(4) && AT + 4 <= LEN) };
        // SAFETY: in bounds and aligned, as the record is and `AT` is in it; the memory lives as long as the
        // mapping, which is borrowed for 'a; every access to this word anywhere is atomic.
        unsafe { AtomicU32::from_ptr(self.start.add(AT).cast()) }
    }

    /// Asks for all lines of the record, which will be read or written: see [`super::prefetch`].
    #[inline(always)]
    pub(super) fn prefetch<const WRITE: bool>(self) {
        for at in (0..LEN).step_by(LINE_LEN) {
            prefetch::line::<WRITE>(self.start.wrapping_add(at));
        }
    }

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

    /// Copies the pairs of words from `AT` on out, each by one load where the processor has one: what is
    /// checked afterwards is the copy.
    #[inline(always)]
    pub(super) fn read_pairs<const AT: usize, const N: usize>(self, into: &mut [[u64; 2]; N]) {
        const { assert!(AT.is_multiple_of(PAIR_LEN) && AT + PAIR_LEN * N <= LEN) };
        for (at, pair) in into.iter_mut().enumerate() {
            // SAFETY: in bounds of a live mapping and aligned to sixteen, as the record is (a mapping starts on a
            // page) and all the pairs are in it.
            unsafe { read_pair(self.start.add(AT + PAIR_LEN * at), pair) };
        }
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

    /// Copies few bytes out, from `offset` behind `AT` on. A peer that writes meanwhile makes them arbitrary, no
    /// more.
    ///
    /// # Panics
    /// When they do not all lie inside.
    #[inline(always)]
    pub(super) fn read_short<const AT: usize>(self, offset: usize, into: &mut [u8]) {
        assert!(
            offset <= LEN - AT && into.len() <= LEN - AT - offset,
            "invariant: bytes lie inside"
        );
        // SAFETY: the source is in bounds of a live mapping by the check; the destination is private and
        // exclusive, so they do not overlap. Some bytes may be read twice; the last copy counts, and is as good
        // as any.
        unsafe {
            let from = self.start.add(AT + offset);
            short::copy(from, into.as_mut_ptr(), into.len());
        }
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

    /// Copies blocks in, to `AT` and behind it, the first one last: what a peer polls stands at the beginning.
    ///
    /// # Panics
    /// When there are more than fit.
    #[inline(always)]
    pub(super) fn write_blocks<const AT: usize>(self, blocks: &[[u8; BLOCK_LEN]]) {
        const { assert!(AT + 3 * BLOCK_LEN <= LEN) };
        // Not a loop, whose beginning and end would take longer than the copying.
        match blocks {
            [] => {}
            [first] => self.write_block(AT, first),
            [first, second] => {
                self.write_block(AT + BLOCK_LEN, second);
                self.write_block(AT, first);
            }
            [first, second, third] => {
                self.write_block(AT + 2 * BLOCK_LEN, third);
                self.write_block(AT + BLOCK_LEN, second);
                self.write_block(AT, first);
            }
            _ => panic!("invariant: blocks lie inside their record"),
        }
    }

    /// Copies a block in, to `at`.
    ///
    /// # Panics
    /// When it is not inside.
    #[inline(always)]
    fn write_block(self, at: usize, block: &[u8; BLOCK_LEN]) {
        assert!(at + BLOCK_LEN <= LEN, "invariant: a block lies inside");
        // SAFETY: in bounds of a live writable mapping by the check; the source is private, so they do not
        // overlap; nobody holds a reference to the destination.
        unsafe {
            let to = self.start.add(at);
            std::ptr::copy_nonoverlapping(block.as_ptr(), to, BLOCK_LEN);
        }
    }
}

/// Copies two words out, each of them read once. A peer that writes meanwhile makes them arbitrary, no more.
///
/// # Safety
/// Sixteen bytes from `from` on are live, and `from` is a multiple of sixteen.
#[inline(always)]
unsafe fn read_pair(from: *const u8, into: &mut [u64; 2]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the source is the caller's; the destination is exclusive and as long; any bits are good on either
    // side. Volatile, so that the compiler reads no part of it again later.
    unsafe {
        let pair = from.cast::<std::arch::x86_64::__m128i>().read_volatile();
        std::ptr::from_mut(into)
            .cast::<std::arch::x86_64::__m128i>()
            .write_unaligned(pair);
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: as above, word by word.
    unsafe {
        let from = from.cast::<u64>();
        *into = [from.read_volatile(), from.add(1).read_volatile()];
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
        // SAFETY: the last 128 bytes of the mapping, at a multiple of sixteen.
        let record = unsafe { map.base().record::<128>(4096 - 128) };
        record.write_words::<8, 2>([1, 2]);
        record.write_half::<24>(3);
        for count in 0..=3 {
            let blocks: Vec<_> = (1..=count).map(|n| [10 * count + n; BLOCK_LEN]).collect();
            record.write_blocks::<32>(&blocks);
            let mut bytes = [0; 96];
            record.read_bytes::<32, 96>(&mut bytes);
            assert_eq!(bytes[..blocks.len() * BLOCK_LEN], *blocks.as_flattened());
        }
        assert_eq!(record.read_words::<8, 3>(), [1, 2, 3]);
        let mut pairs = [[0; 2]; 2];
        record.read_pairs::<0, 2>(&mut pairs);
        assert_eq!(pairs, [[0, 1], [2, 3]]);
        let four = [[0; BLOCK_LEN]; 4];
        let beyond = std::panic::AssertUnwindSafe(|| record.write_blocks::<32>(&four));
        assert!(std::panic::catch_unwind(beyond).is_err());
        let beyond = std::panic::AssertUnwindSafe(|| record.read_short::<32>(90, &mut [0; 7]));
        assert!(std::panic::catch_unwind(beyond).is_err());
    }
}
