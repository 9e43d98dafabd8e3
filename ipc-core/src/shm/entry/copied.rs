//! A message as a batch holds it: its entry, word for word.
//!
//! Taking an entry apart into a structure and putting it together again where it is answered costs more than
//! moving its lines from one processor to the other. Here the private copy is the entry's own bytes; it is
//! checked in place, and asked for a part when that is needed. Neighbours in a run say the same of themselves
//! but for slot, generation and bytes: what is compared with that of the first, as two numbers, was checked
//! with the first.

use zerocopy::IntoBytes;

use crate::{
    abi::{Errno, Priority, Result},
    shm::{
        Claim, Lines, REPLY_INLINE_MAX, Region, copy_part,
        entry::{
            EntryFlags, HEADER_OFFSET, INLINE_FIRST, INLINE_MAX, INLINE_OFFSET, Inline,
            MessageEntry,
            header::{HEADER_WORDS, Header, KIND_MESSAGE},
        },
        layout::{ENTRY_LEN, LINE_LEN},
        record::Record,
    },
};

const PAIRS: usize = ENTRY_LEN / 16;

/// Words of an entry: the first one after the sequence word's, and those of the lengths and of the offsets.
const FIRST: usize = 1;
const SENDER: usize = 2;
const LENS: usize = 4;

/// The server's private copy of a message's entry, which it found well formed: the slot exists, claims lie in
/// the arena, no length exceeds its limit. Behind the message's end stands anything.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Copied([[u64; 2]; PAIRS]);

/// What the messages of a run are compared with: the first of them, as far as it is known before it is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Like {
    /// Kind, priority and flags.
    first: u32,
    /// Both lengths.
    lens: u64,
    /// Whether a message that says the same needs no check but that of its slot: it travels inside its entry,
    /// and its reply in the slot, and both have room.
    is_plain: bool,
}

/// What came of looking at an entry for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The next entry is none of the run's, or not there.
    Nothing,
    /// A message that says the same of itself as the first.
    Alike,
    /// Another one.
    Message,
}

impl Like {
    /// Looks at the full entry of `record`; `None` for one that is no message.
    pub(in crate::shm) fn peek(record: Record<'_, ENTRY_LEN>) -> Option<Like> {
        let words = record.read_words::<HEADER_OFFSET, HEADER_WORDS>();
        let header = Header::of(words);
        let flags = EntryFlags::from_bits(header.flags).unwrap_or_default();
        let is_message = header.kind == KIND_MESSAGE;
        is_message.then_some(Like {
            first: words[FIRST - 1] as u32,
            lens: words[LENS - 1],
            is_plain: flags.contains(EntryFlags::INLINE | EntryFlags::REPLY_INLINE)
                && header.len as usize <= INLINE_MAX
                && header.reply_len as usize <= REPLY_INLINE_MAX,
        })
    }

    pub(crate) fn priority(&self) -> Priority {
        (self.first >> 8) as u8
    }

    /// The flags that it had when it was looked at.
    pub(crate) fn flags(&self) -> EntryFlags {
        EntryFlags::from_bits_truncate((self.first >> 16) as u16)
    }
}

impl Copied {
    /// The copy of a message that was taken another way.
    pub(crate) fn of(entry: &MessageEntry, inline: &Inline) -> Copied {
        let mut copied = Copied::default();
        let words = copied.0.as_flattened_mut();
        words[FIRST..][..HEADER_WORDS].copy_from_slice(&entry.header().words());
        let bytes = words.as_mut_bytes();
        bytes[INLINE_OFFSET..][..inline.bytes().len()].copy_from_slice(inline.bytes());
        copied
    }

    /// Takes the full entry of `record` if it is a message of the kind and priority of the run's first.
    ///
    /// # Errors
    /// `EBADMSG` or `EFAULT` for one that no honest client posts.
    #[inline(always)]
    pub(in crate::shm) fn take(
        &mut self,
        region: &Region,
        lines: Lines<'_>,
        record: Record<'_, ENTRY_LEN>,
        like: &Like,
    ) -> Result<Taken> {
        [self.0[0][1]] = record.read_words::<HEADER_OFFSET, 1>();
        let near = self.0[1..].first_chunk_mut();
        record.read_pairs::<16, 3>(near.expect("invariant: the rest of the first line"));
        // From here on of the copy.
        let is_alike = self.word(FIRST) as u32 == like.first && self.word(LENS) == like.lens;
        if !(is_alike && like.is_plain) {
            return self.take_other(region, record, like);
        }
        if like.lens as u32 as usize > INLINE_FIRST {
            self.take_far(record);
        }
        if self.slot() < lines.slots() {
            Ok(Taken::Alike)
        } else {
            Err(Errno::EBADMSG)
        }
    }

    /// Goes on with a copy that says something else of itself than the first of its run, or has claims.
    #[inline(never)]
    fn take_other(
        &mut self,
        region: &Region,
        record: Record<'_, ENTRY_LEN>,
        like: &Like,
    ) -> Result<Taken> {
        let header = self.header();
        if header.kind != KIND_MESSAGE || header.priority != like.priority() {
            return Ok(Taken::Nothing);
        }
        let entry = header.message(region)?;
        region.will_read_claim(entry.message);
        if self.is_inline() && self.len() as usize > INLINE_FIRST {
            self.take_far(record);
        }
        Ok(Taken::Message)
    }

    #[inline(always)]
    fn take_far(&mut self, record: Record<'_, ENTRY_LEN>) {
        let far = self.0[LINE_LEN / 16..].first_chunk_mut();
        record.read_pairs::<LINE_LEN, 4>(far.expect("invariant: the second line"));
    }

    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        self.0[at / 2][at % 2]
    }

    fn header(&self) -> Header {
        let words = self.0.as_flattened()[FIRST..].first_chunk();
        Header::of(*words.expect("invariant: a header has its words"))
    }

    #[inline(always)]
    pub(crate) fn slot(&self) -> u32 {
        (self.word(FIRST) >> 32) as u32
    }

    #[inline(always)]
    pub(crate) fn generation(&self) -> u32 {
        (self.word(SENDER) >> 32) as u32
    }

    #[inline(always)]
    pub(crate) fn flags(&self) -> EntryFlags {
        EntryFlags::from_bits_retain((self.word(FIRST) >> 16) as u16)
    }

    #[inline(always)]
    pub(crate) fn priority(&self) -> Priority {
        (self.word(FIRST) >> 8) as u8
    }

    /// Bytes of the message.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.word(LENS) as u32
    }

    /// Bytes that the client takes as reply.
    #[inline(always)]
    pub(crate) fn reply_len(&self) -> u32 {
        (self.word(LENS) >> 32) as u32
    }

    /// Whether the message came inside its entry.
    #[inline(always)]
    pub(crate) fn is_inline(&self) -> bool {
        self.flags().contains(EntryFlags::INLINE)
    }

    /// The message, if it came inside its entry; of any other, bytes that say nothing.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        let bytes = self.0.as_bytes();
        &bytes[INLINE_OFFSET..][..(self.len() as usize).min(INLINE_MAX)]
    }

    /// Copies from a message that came inside its entry, from `offset` on; 0 past the end.
    #[inline(always)]
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        copy_part(self.bytes(), offset, into)
    }

    /// All that it says; `region` is that of its connection.
    pub(crate) fn entry(&self, region: &Region) -> MessageEntry {
        let entry = self.header().message(region);
        entry.expect("invariant: it was well formed when it was taken")
    }

    /// The message as the table keeps it, if it came inside its entry.
    pub(crate) fn inline(&self) -> Inline {
        if self.is_inline() {
            Inline::of(self.bytes())
        } else {
            Inline::default()
        }
    }

    /// Where the message is, unless it came inside its entry.
    pub(crate) fn message(&self, region: &Region) -> Claim {
        self.entry(region).message
    }

    /// Where the reply goes, unless that is the slot.
    pub(crate) fn reply(&self, region: &Region) -> Claim {
        self.entry(region).reply
    }
}

const _: () = assert!(size_of::<Copied>() == ENTRY_LEN);
