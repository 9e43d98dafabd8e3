//! Submission entries: what a client posts for one message or pulse.
//!
//! ```text
//! 0   sequence word (handed over with Release, taken with Acquire)
//! 8   header, 40 bytes
//! 48  up to 80 bytes of message
//! ```

use bitflags::bitflags;

use crate::{
    abi::{Errno, Priority, PulseCode, Result, Tid, limits::MSG_LEN_MAX},
    shm::{
        Claim, Region, copy_slice,
        layout::{ENTRY_LEN, LINE_LEN},
        record::Record,
    },
};

/// Bytes of message that travel inside the entry.
pub(crate) const INLINE_MAX: usize = 80;

pub(super) const HEADER_OFFSET: usize = 8;
const INLINE_OFFSET: usize = HEADER_OFFSET + 8 * HEADER_WORDS;
/// Words of a header: see `Header::words`.
const HEADER_WORDS: usize = 5;

/// Bytes of an inline message that share the polled line; the rest stands in the line after it.
const INLINE_FIRST: usize = LINE_LEN - INLINE_OFFSET;
const INLINE_REST: usize = INLINE_MAX - INLINE_FIRST;

const KIND_MESSAGE: u8 = 1;
const KIND_PULSE: u8 = 2;

bitflags! {
    /// How a message travels and what its sender wants to know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct EntryFlags: u16 {
        /// The message is inside the entry.
        const INLINE = 1;
        /// The reply fits the reply line; no part of the arena is set aside for it.
        const REPLY_INLINE = 2;
        /// Ring the completion doorbell instead of waking a sleeper on the slot.
        const ASYNC = 4;
        /// Tell when the message is received: the sender's timeout covers only one of the two states.
        const REPORT_RECEIVE = 8;
    }
}

#[derive(Clone, Copy)]
struct Header {
    kind: u8,
    priority: u8,
    flags: u16,
    slot: u32,
    tid: i32,
    generation: u32,
    stamp_ns: u64,
    len: u32,
    reply_len: u32,
    offset: u32,
    reply_offset: u32,
}

const _: () = assert!(
    cfg!(target_endian = "little"),
    "`Header::words` puts low halves first"
);
const _: () = assert!(INLINE_OFFSET + INLINE_MAX == ENTRY_LEN);

/// Message bytes that came inside an entry: the server's private copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inline {
    pub(crate) len: u8,
    pub(crate) bytes: [u8; INLINE_MAX],
}

impl Inline {
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Copies from `offset` on; 0 past the end.
    #[inline(always)]
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        let bytes = self.bytes().get(offset..).unwrap_or_default();
        // Who asks for a known number of bytes gets a copy of just that, without a look at how many they are.
        match bytes.get(..into.len()) {
            Some(all) => copy_slice(all, into),
            None => copy_slice(bytes, into),
        }
        bytes.len().min(into.len())
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

/// A message as posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct MessageEntry {
    pub(crate) flags: EntryFlags,
    pub(crate) priority: Priority,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) tid: Tid,
    pub(crate) stamp_ns: u64,
    /// Bytes of the message.
    pub(crate) len: u32,
    /// Bytes that the client takes as reply.
    pub(crate) reply_len: u32,
    /// Where the message is, unless inline.
    pub(crate) message: Claim,
    /// Where the reply goes, unless inline.
    pub(crate) reply: Claim,
}

/// A pulse as posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PulseEntry {
    pub(crate) priority: Priority,
    pub(crate) code: PulseCode,
    pub(crate) value: i64,
    pub(crate) stamp_ns: u64,
}

/// An entry that the consumer copied out and found well formed: every claim lies in the arena, the
/// slot exists, no length exceeds its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Message(MessageEntry, Inline),
    Pulse(PulseEntry),
}

/// What an entry says of its place in the order of receipt, before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peeked {
    pub(crate) is_message: bool,
    pub(crate) priority: Priority,
}

impl Peeked {
    /// Looks at the full entry at `offset`.
    pub(super) fn read(region: &Region, offset: usize) -> Peeked {
        Header::read(region.mapping().record(offset)).peeked()
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

impl MessageEntry {
    /// As [`Entry::read`], for a message that is `like` another, which goes to where it stays; false for any
    /// other entry.
    ///
    /// # Errors
    /// As [`Entry::read`].
    #[inline(always)]
    pub(super) fn read_like(
        region: &Region,
        record: Record<'_, ENTRY_LEN>,
        like: Peeked,
        into: &mut MessageEntry,
        inline: &mut Inline,
    ) -> Result<bool> {
        let header = Header::read(record);
        if header.peeked() != like || !like.is_message {
            return Ok(false);
        }
        *into = header.message(region, record, inline)?;
        Ok(true)
    }

    /// Writes everything but the sequence word at `offset`; `inline` goes in when the flag says so.
    #[inline(always)]
    pub(super) fn write(&self, region: &Region, offset: usize, inline: &[u8]) {
        let header = Header {
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
        };
        // The far line first, as for an inline reply.
        let (near, far) = inline.split_at(inline.len().min(INLINE_FIRST));
        let record = region.mapping().record::<ENTRY_LEN>(offset);
        record.write_short::<LINE_LEN>(far);
        record.write_words::<HEADER_OFFSET, HEADER_WORDS>(header.words());
        record.write_short::<INLINE_OFFSET>(near);
    }
}

impl PulseEntry {
    /// Writes everything but the sequence word at `offset`.
    pub(super) fn write(&self, region: &Region, offset: usize) {
        let value = self.value.cast_unsigned();
        let header = Header {
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
        };
        let record = region.mapping().record::<ENTRY_LEN>(offset);
        record.write_words::<HEADER_OFFSET, HEADER_WORDS>(header.words());
    }
}

impl Entry {
    /// Copies the entry at `offset` out and checks the copy.
    ///
    /// # Errors
    /// `EBADMSG` or `EFAULT` for one that no honest client posts.
    pub(super) fn read(region: &Region, offset: usize) -> Result<Entry> {
        let record = region.mapping().record(offset);
        let header = Header::read(record);
        match header.kind {
            KIND_MESSAGE => {
                let mut inline = Inline::default();
                let entry = header.message(region, record, &mut inline)?;
                Ok(Entry::Message(entry, inline))
            }
            KIND_PULSE => header.pulse().map(Entry::Pulse),
            _ => Err(Errno::EBADMSG),
        }
    }
}

impl Header {
    /// Reads the header of a full entry, once.
    #[inline(always)]
    fn read(record: Record<'_, ENTRY_LEN>) -> Header {
        let words = record.read_words::<HEADER_OFFSET, HEADER_WORDS>();
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

    #[inline(always)]
    fn peeked(&self) -> Peeked {
        Peeked {
            is_message: self.kind == KIND_MESSAGE,
            priority: self.priority,
        }
    }

    /// The header as it is stored, put together in registers.
    #[inline(always)]
    fn words(&self) -> [u64; HEADER_WORDS] {
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

    #[inline(always)]
    fn message(
        &self,
        region: &Region,
        record: Record<'_, ENTRY_LEN>,
        inline: &mut Inline,
    ) -> Result<MessageEntry> {
        let flags = EntryFlags::from_bits(self.flags).ok_or(Errno::EBADMSG)?;
        let len_max = MSG_LEN_MAX as u32;
        if self.slot >= region.layout().slots() || self.len > len_max || self.reply_len > len_max {
            return Err(Errno::EBADMSG);
        }
        inline.len = 0;
        let mut message = Claim::default();
        if flags.contains(EntryFlags::INLINE) {
            if self.len as usize > INLINE_MAX {
                return Err(Errno::EBADMSG);
            }
            // All that a line has: how much of it is message says the length.
            let (near, far) = inline.halves();
            record.read_bytes::<INLINE_OFFSET, INLINE_FIRST>(near);
            if self.len as usize > INLINE_FIRST {
                record.read_bytes::<LINE_LEN, INLINE_REST>(far);
            }
            inline.len = self.len as u8;
        } else {
            message = region.claim(self.offset, self.len)?;
            region.will_read_claim(message);
        }
        let reply = if !flags.contains(EntryFlags::REPLY_INLINE) {
            region.claim(self.reply_offset, self.reply_len)?
        } else if self.reply_len as usize <= super::REPLY_INLINE_MAX {
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

    fn pulse(&self) -> Result<PulseEntry> {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shm::Layout;

    fn region() -> Region {
        Region::create(Layout::new(2, 4096).unwrap()).unwrap().0
    }

    fn message(region: &Region) -> MessageEntry {
        MessageEntry {
            flags: EntryFlags::INLINE | EntryFlags::REPLY_INLINE,
            priority: 10,
            slot: 1,
            generation: 3,
            tid: Tid(77),
            stamp_ns: 5,
            len: 4,
            reply_len: 8,
            message: region.claim(0, 0).unwrap(),
            reply: region.claim(0, 0).unwrap(),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let region = region();
        let offset = region.layout().entry(1);
        let sent = message(&region);
        sent.write(&region, offset, b"ping");
        let Ok(Entry::Message(read, inline)) = Entry::read(&region, offset) else {
            panic!()
        };
        assert_eq!(read, sent);
        assert_eq!(&inline.bytes[..usize::from(inline.len)], b"ping");

        let pulse = PulseEntry {
            priority: 9,
            code: PulseCode(-1),
            value: i64::MIN + 5,
            stamp_ns: 6,
        };
        pulse.write(&region, offset);
        assert_eq!(Entry::read(&region, offset), Ok(Entry::Pulse(pulse)));
    }

    #[test]
    fn what_no_honest_client_posts_is_refused() {
        let region = region();
        let offset = region.layout().entry(0);
        let good = message(&region);
        let bad = [
            MessageEntry { slot: 2, ..good },
            MessageEntry {
                len: INLINE_MAX as u32 + 1,
                ..good
            },
            MessageEntry {
                reply_len: 97,
                ..good
            },
            MessageEntry {
                flags: EntryFlags::REPLY_INLINE,
                len: 4097,
                ..good
            },
            MessageEntry {
                flags: EntryFlags::INLINE,
                reply_len: u32::MAX,
                ..good
            },
            MessageEntry {
                flags: EntryFlags::from_bits_retain(0x8000),
                ..good
            },
        ];
        for entry in bad {
            entry.write(&region, offset, b"");
            assert!(Entry::read(&region, offset).is_err(), "{entry:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::array::uniform32(0_u8..), at in 0_usize..88) {
            let region = region();
            let offset = region.layout().entry(0);
            message(&region).write(&region, offset, b"ping");
            region.mapping().write(offset + HEADER_OFFSET + at, &bytes);
            let _ = Entry::read(&region, offset);
        }
    }
}
