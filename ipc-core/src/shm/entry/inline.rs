//! A message that came inside its entry.

use crate::shm::{
    copy_part,
    entry::{INLINE_FIRST, INLINE_MAX, INLINE_OFFSET},
    layout::{ENTRY_LEN, LINE_LEN},
    record::Record,
};

const INLINE_REST: usize = INLINE_MAX - INLINE_FIRST;

/// Message bytes that came inside an entry: the server's private copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inline {
    len: u8,
    bytes: [u8; INLINE_MAX],
}

impl Inline {
    /// Copies a message of `len` bytes, `INLINE_MAX` at most, out of its entry.
    ///
    /// # Panics
    /// When there are more.
    #[inline(always)]
    pub(super) fn read(record: Record<'_, ENTRY_LEN>, len: usize) -> Inline {
        assert!(len <= INLINE_MAX, "invariant: the length was checked");
        let mut inline = Inline {
            len: len as u8,
            ..Inline::default()
        };
        let (near, far) = inline.halves();
        // All that a line has: how much of it is message says the length.
        record.read_bytes::<INLINE_OFFSET, INLINE_FIRST>(near);
        if len > INLINE_FIRST {
            record.read_bytes::<LINE_LEN, INLINE_REST>(far);
        }
        inline
    }

    /// A message of these bytes.
    ///
    /// # Panics
    /// When they are more than `INLINE_MAX`.
    pub(super) fn of(message: &[u8]) -> Inline {
        let mut inline = Inline {
            len: message.len() as u8,
            ..Inline::default()
        };
        inline.bytes[..message.len()].copy_from_slice(message);
        inline
    }

    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Copies from `offset` on; 0 past the end.
    #[inline(always)]
    pub(crate) fn read_part(&self, offset: usize, into: &mut [u8]) -> usize {
        copy_part(self.bytes(), offset, into)
    }

    /// What comes from either line of an entry.
    #[inline(always)]
    fn halves(&mut self) -> (&mut [u8; INLINE_FIRST], &mut [u8; INLINE_REST]) {
        let halves = self.bytes.split_first_chunk_mut();
        let (near, far) = halves.expect("invariant: the parts make up the whole");
        let far = far.first_chunk_mut();
        (near, far.expect("invariant: the parts make up the whole"))
    }
}

impl Default for Inline {
    fn default() -> Inline {
        Inline {
            len: 0,
            bytes: [0; INLINE_MAX],
        }
    }
}
