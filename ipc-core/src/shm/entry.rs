//! Submission entries: what a client posts for one message or pulse.
//!
//! ```text
//! 0   sequence word (handed over with Release, taken with Acquire)
//! 8   header, 40 bytes
//! 48  up to 80 bytes of message
//! ```

mod copied;
mod header;
mod inline;

use bitflags::bitflags;

use crate::{
    abi::{Errno, Priority, PulseCode, Result, Tid},
    shm::{
        Claim, Region,
        layout::{ENTRY_LEN, LINE_LEN},
        record::Record,
    },
};

use header::{HEADER_WORDS, Header, KIND_MESSAGE, KIND_PULSE};

pub(crate) use copied::{Copied, Like, Taken};
pub(crate) use inline::Inline;

/// Bytes of message that travel inside the entry.
pub(crate) const INLINE_MAX: usize = 80;

pub(super) const HEADER_OFFSET: usize = 8;
const INLINE_OFFSET: usize = HEADER_OFFSET + 8 * HEADER_WORDS;

/// Bytes of an inline message that share the polled line; the rest stands in the line after it.
const INLINE_FIRST: usize = LINE_LEN - INLINE_OFFSET;

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

const _: () = assert!(INLINE_OFFSET + INLINE_MAX == ENTRY_LEN);

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

impl MessageEntry {
    /// A message and a reply of `len` bytes each, inside the entry and the slot: for tests.
    #[cfg(test)]
    pub(crate) fn small(slot: u32, generation: u32, len: u32) -> MessageEntry {
        MessageEntry {
            flags: EntryFlags::INLINE | EntryFlags::REPLY_INLINE,
            priority: 9,
            slot,
            generation,
            tid: Tid(1),
            len,
            reply_len: len,
            ..MessageEntry::default()
        }
    }

    /// Writes everything but the sequence word; `inline` goes in when the flag says so.
    #[inline(always)]
    pub(super) fn write(&self, record: Record<'_, ENTRY_LEN>, inline: &[u8]) {
        // The far line first, as for an inline reply.
        let (near, far) = inline.split_at(inline.len().min(INLINE_FIRST));
        record.write_short::<LINE_LEN>(far);
        record.write_words::<HEADER_OFFSET, HEADER_WORDS>(self.header().words());
        record.write_short::<INLINE_OFFSET>(near);
    }
}

impl PulseEntry {
    /// Writes everything but the sequence word.
    pub(super) fn write(&self, record: Record<'_, ENTRY_LEN>) {
        record.write_words::<HEADER_OFFSET, HEADER_WORDS>(self.header().words());
    }
}

impl Entry {
    /// Copies the full entry of `record` out and checks the copy.
    ///
    /// # Errors
    /// `EBADMSG` or `EFAULT` for one that no honest client posts.
    pub(super) fn read(region: &Region, record: Record<'_, ENTRY_LEN>) -> Result<Entry> {
        let header = Header::read(record);
        match header.kind {
            KIND_MESSAGE => {
                let entry = header.message(region)?;
                let inline = if entry.flags.contains(EntryFlags::INLINE) {
                    Inline::read(record, entry.len as usize)
                } else {
                    region.will_read_claim(entry.message);
                    Inline::default()
                };
                Ok(Entry::Message(entry, inline))
            }
            KIND_PULSE => header.pulse().map(Entry::Pulse),
            _ => Err(Errno::EBADMSG),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shm::Layout;

    fn region() -> Region {
        Region::create(Layout::new(2, 4096).unwrap()).unwrap().0
    }

    fn message() -> MessageEntry {
        MessageEntry {
            stamp_ns: 5,
            reply_len: 8,
            ..MessageEntry::small(1, 3, 4)
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let region = region();
        let record = region.lines().entry(1);
        let sent = message();
        sent.write(record, b"ping");
        let Ok(Entry::Message(read, inline)) = Entry::read(&region, record) else {
            panic!()
        };
        assert_eq!(read, sent);
        assert_eq!(inline.bytes(), b"ping");

        let pulse = PulseEntry {
            priority: 9,
            code: PulseCode(-1),
            value: i64::MIN + 5,
            stamp_ns: 6,
        };
        pulse.write(record);
        assert_eq!(Entry::read(&region, record), Ok(Entry::Pulse(pulse)));
    }

    #[test]
    fn what_no_honest_client_posts_is_refused() {
        let region = region();
        let record = region.lines().entry(0);
        let good = message();
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
            entry.write(record, b"");
            assert!(Entry::read(&region, record).is_err(), "{entry:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_one_message_by_itself_and_in_a_run(
            bytes in proptest::array::uniform32(0_u8..),
            at in 0_usize..88,
            is_near in proptest::bool::ANY,
        ) {
            let region = region();
            let (offset, record) = (region.layout().entry(0), region.lines().entry(0));
            message().write(record, b"ping");
            let like = Like::peek(record).unwrap();
            let changed = if is_near { 1 } else { bytes.len() };
            region.mapping().write(offset + HEADER_OFFSET + at, &bytes[..changed]);
            let by_itself = Entry::read(&region, record);
            let mut copied = Copied::default();
            match (by_itself, copied.take(&region, region.lines(), record, &like)) {
                (Ok(Entry::Message(entry, inline)), Ok(Taken::Alike | Taken::Message)) => {
                    assert_eq!(copied.entry(&region), entry);
                    assert_eq!(copied.inline().bytes(), inline.bytes());
                    assert_eq!(Copied::of(&entry, &inline).entry(&region), entry);
                }
                // A run ends before what is not like it.
                (other, Ok(Taken::Nothing)) => {
                    let now = Like::peek(record);
                    assert!(now.is_none_or(|now| now.priority() != like.priority()), "{other:?}");
                }
                (by_itself, in_a_run) => assert_eq!(by_itself.err(), in_a_run.err()),
            }
        }
    }
}
