//! Bytes of a mapping that stay mapped for as long as somebody holds them.

use std::{any::Any, fmt, sync::Arc};

use crate::{
    shm::{Claim, Region},
    sys::fork::Maker,
};

/// Bytes in shared memory where they lie, for the kernel to gather from and to place at.
///
/// They stay mapped for as long as this or a clone of it lives, even when the message was answered long ago and
/// its buffer serves another. The process that shares them may write them at any moment: who reads them must be
/// content with any bytes.
#[derive(Clone)]
pub struct MappedBytes {
    start: *mut u8,
    len: usize,
    /// The process in which they are mapped.
    maker: Maker,
    /// Owns the region: what is kept, not used.
    _keeper: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the pointer is used by `read`, which copies raw bytes, and by whoever takes it out under a proof of
// its own; the memory behind it stays mapped in the whole process as long as the keeper lives, which may be
// dropped by any thread.
unsafe impl Send for MappedBytes {}
// SAFETY: as above; shared access only copies out of memory that others write anyway.
unsafe impl Sync for MappedBytes {}

impl MappedBytes {
    /// Bytes `offset..offset + len` of a claim to a region that `keeper` owns; `None` if the claim has not so many.
    pub(crate) fn new(
        region: &Region,
        claim: Claim,
        offset: usize,
        len: usize,
        keeper: Arc<dyn Any + Send + Sync>,
    ) -> Option<MappedBytes> {
        let is_inside = offset
            .checked_add(len)
            .is_some_and(|end| end <= claim.len());
        is_inside.then(|| MappedBytes {
            start: region.ptr(claim).wrapping_add(offset),
            len,
            maker: region.maker(),
            _keeper: keeper,
        })
    }

    /// Their address, valid in the process that made this and no forked child of it, as long as this lives.
    pub fn as_ptr(&self) -> *const u8 {
        self.start
    }

    /// The same, for the one whose turn it is to write them: the holder of the loan that they are of.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.start
    }

    /// How many they are.
    #[allow(
        clippy::len_without_is_empty,
        reason = "no bytes at all are no special case"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies the first bytes out; answers how many there were, none in a forked child.
    pub fn read(&self, into: &mut [u8]) -> usize {
        if !self.maker.is_current() {
            return 0;
        }
        let len = self.len.min(into.len());
        // SAFETY: `new` checked the range, which the keeper keeps mapped in this process; the destination is a
        // private exclusive slice; the peer's racing writes change bytes only, and any byte is a valid u8.
        unsafe { std::ptr::copy_nonoverlapping(self.start, into.as_mut_ptr(), len) };
        len
    }
}

impl fmt::Debug for MappedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedBytes")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
