//! The five words before an entry's message, and what an honest client puts into them.

use crate::{
    abi::{Errno, Priority, PulseCode, Result, Tid, limits::MSG_LEN_MAX},
    shm::{
        Claim, REPLY_INLINE_MAX, Region,
        entry::{EntryFlags, HEADER_OFFSET, INLINE_MAX, MessageEntry, PulseEntry},
        layout::ENTRY_LEN,
        record::Record,
    },
};

/// Words of a header: see [`Header::words`].
pub(super) const HEADER_WORDS: usize = 5;

pub(super) const KIND_MESSAGE: u8 = 1;
pub(super) const KIND_PULSE: u8 = 2;

const _: () = assert!(
    cfg!(target_endian = "little"),
    "`Header::words` puts low halves first"
);

/// A header, as it was read or is to be written.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) priority: Priority,
    pub(super) flags: u16,
    pub(super) slot: u32,
    pub(super) tid: i32,
    pub(super) generation: u32,
    pub(super) stamp_ns: u64,
    pub(super) len: u32,
    pub(super) reply_len: u32,
    pub(super) offset: u32,
    pub(super) reply_offset: u32,
}

impl Header {
    /// Reads the header of a full entry, once.
    #[inline(always)]
    pub(super) fn read(record: Record<'_, ENTRY_LEN>) -> Header {
        Header::of(record.read_words::<HEADER_OFFSET, HEADER_WORDS>())
    }

    /// A header that was read.
    #[inline(always)]
    pub(super) fn of(words: [u64; HEADER_WORDS]) -> Header {
        let [first, sender, stamp_ns, lens, offsets] = words;
        let high = |word: u64| (word >> 32) as u32;
        Header {
            kind: first as u8,
            priority: (first >> 8) as u8,
            flags: (first >> 16) as u16,
            slot: high(first),
            tid: (sender as u32).cast_signed(),
            generation: high(sender),
            stamp_ns,
            len: lens as u32,
            reply_len: high(lens),
            offset: offsets as u32,
            reply_offset: high(offsets),
        }
    }

    /// The header as it is stored, put together in registers.
    #[inline(always)]
    pub(super) fn words(&self) -> [u64; HEADER_WORDS] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let first =
            u32::from(self.kind) | u32::from(self.priority) << 8 | u32::from(self.flags) << 16;
        [
            pair(first, self.slot),
            pair(self.tid.cast_unsigned(), self.generation),
            self.stamp_ns,
            pair(self.len, self.reply_len),
            pair(self.offset, self.reply_offset),
        ]
    }

    /// The message of such a header: its slot exists, its claims lie in the arena, its lengths are in bounds.
    ///
    /// # Errors
    /// `EBADMSG` or `EFAULT` for one that no honest client posts.
    #[inline(always)]
    pub(super) fn message(&self, region: &Region) -> Result<MessageEntry> {
        let flags = EntryFlags::from_bits(self.flags).ok_or(Errno::EBADMSG)?;
        let len_max = MSG_LEN_MAX as u32;
        if self.slot >= region.layout().slots() || self.len > len_max || self.reply_len > len_max {
            return Err(Errno::EBADMSG);
        }
        let message = if !flags.contains(EntryFlags::INLINE) {
            region.claim(self.offset, self.len)?
        } else if self.len as usize <= INLINE_MAX {
            Claim::default()
        } else {
            return Err(Errno::EBADMSG);
        };
        let reply = if !flags.contains(EntryFlags::REPLY_INLINE) {
            region.claim(self.reply_offset, self.reply_len)?
        } else if self.reply_len as usize <= REPLY_INLINE_MAX {
            Claim::default()
        } else {
            return Err(Errno::EBADMSG);
        };
        Ok(MessageEntry {
            flags,
            priority: self.priority,
            slot: self.slot,
            generation: self.generation,
            tid: Tid(self.tid),
            stamp_ns: self.stamp_ns,
            len: self.len,
            reply_len: self.reply_len,
            message,
            reply,
        })
    }

    /// The pulse of such a header.
    ///
    /// # Errors
    /// `EBADMSG` for a code that is none.
    pub(super) fn pulse(&self) -> Result<PulseEntry> {
        let code = u8::try_from(self.slot)
            .map_err(|_| Errno::EBADMSG)?
            .cast_signed();
        let value = u64::from(self.len) | u64::from(self.reply_len) << 32;
        Ok(PulseEntry {
            priority: self.priority,
            code: PulseCode(code),
            value: value.cast_signed(),
            stamp_ns: self.stamp_ns,
        })
    }
}

impl MessageEntry {
    /// The header that says this.
    #[inline(always)]
    pub(super) fn header(&self) -> Header {
        Header {
            kind: KIND_MESSAGE,
            priority: self.priority,
            flags: self.flags.bits(),
            slot: self.slot,
            tid: self.tid.0,
            generation: self.generation,
            stamp_ns: self.stamp_ns,
            len: self.len,
            reply_len: self.reply_len,
            offset: self.message.offset(),
            reply_offset: self.reply.offset(),
        }
    }
}

impl PulseEntry {
    /// The header that says this.
    pub(super) fn header(&self) -> Header {
        let value = self.value.cast_unsigned();
        Header {
            kind: KIND_PULSE,
            priority: self.priority,
            flags: 0,
            slot: u32::from(self.code.0.cast_unsigned()),
            tid: 0,
            generation: 0,
            stamp_ns: self.stamp_ns,
            len: value as u32,
            reply_len: (value >> 32) as u32,
            offset: 0,
            reply_offset: 0,
        }
    }
}
