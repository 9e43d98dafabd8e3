//! Copies of few bytes without a call.
//!
//! Messages and replies that travel inside entries and slots are copied four times on their way, some dozens
//! of bytes each: a call of the general copy, which first finds out which kind it is, takes longer than the
//! copying. Blocks of sixteen bytes are what every processor moves by one load and one store. A length is
//! covered from both its ends, by blocks that may overlap in the middle: no loop, which the compiler would
//! make that call again.

/// The most that is copied by blocks; beyond it the general copy is the faster one.
const COVERED_LEN: usize = 8 * BLOCK_LEN;

const BLOCK_LEN: usize = 16;

/// Copies as many bytes as both have.
#[inline(always)]
pub(crate) fn copy_slice(from: &[u8], to: &mut [u8]) {
    let len = from.len().min(to.len());
    // SAFETY: both slices are live and hold `len` bytes; one of them is exclusive, so they do not overlap.
    unsafe { copy(from.as_ptr(), to.as_mut_ptr(), len) }
}

/// Copies from `offset` of bytes on; answers how many there were, 0 past their end.
#[inline(always)]
pub(crate) fn copy_part(from: &[u8], offset: usize, to: &mut [u8]) -> usize {
    let part = from.get(offset..).unwrap_or_default();
    // Who asks for a known number of bytes gets a copy of just that, without a look at how many they are.
    match part.get(..to.len()) {
        Some(all) => copy_slice(all, to),
        None => copy_slice(part, to),
    }
    part.len().min(to.len())
}

/// Copies `len` bytes, in order, some of them perhaps twice.
///
/// # Safety
/// As for [`std::ptr::copy_nonoverlapping`].
#[inline(always)]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's ranges are live and do not overlap; every block below lies inside of them.
    unsafe {
        if len > COVERED_LEN {
            std::ptr::copy_nonoverlapping(from, to, len);
        } else if len > 4 * BLOCK_LEN {
            blocks::<4>(from, to, 0);
            blocks::<4>(from, to, len - 4 * BLOCK_LEN);
        } else if len > 2 * BLOCK_LEN {
            blocks::<2>(from, to, 0);
            blocks::<2>(from, to, len - 2 * BLOCK_LEN);
        } else if len >= BLOCK_LEN {
            blocks::<1>(from, to, 0);
            blocks::<1>(from, to, len - BLOCK_LEN);
        } else if len >= 8 {
            block::<u64>(from, to, 0);
            block::<u64>(from, to, len - 8);
        } else if len >= 4 {
            block::<u32>(from, to, 0);
            block::<u32>(from, to, len - 4);
        } else {
            for at in 0..len {
                block::<u8>(from, to, at);
            }
        }
    }
}

/// Copies `N` blocks at `at`.
///
/// # Safety
/// As for [`block`].
#[inline(always)]
unsafe fn blocks<const N: usize>(from: *const u8, to: *mut u8, at: usize) {
    for block_at in 0..N {
        // SAFETY: the caller's.
        unsafe { block::<[u8; BLOCK_LEN]>(from, to, at + block_at * BLOCK_LEN) };
    }
}

/// Copies the bytes of one `T` at `at`.
///
/// # Safety
/// They lie inside two live ranges that do not overlap.
#[inline(always)]
unsafe fn block<T: Copy>(from: *const u8, to: *mut u8, at: usize) {
    // SAFETY: the caller's; any bits are a valid `T`.
    unsafe {
        let value = from.add(at).cast::<T>().read_unaligned();
        to.add(at).cast::<T>().write_unaligned(value);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_and_nothing_beside_it() {
        let from: Vec<u8> = (1..=200).collect();
        for len in 0..from.len() {
            let mut to = [0; 202];
            copy_slice(&from[..len], &mut to[1..]);
            assert_eq!(to[0], 0);
            assert_eq!(to[1..=len], from[..len]);
            assert!(to[len + 1..].iter().all(|byte| *byte == 0));
        }
    }
}
