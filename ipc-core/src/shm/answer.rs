//! What one slot says, apart from who sleeps on it: an answer, written by the server, read by the client.
//!
//! Where the slot lies is found out once. Who goes through many answers touches each at half a dozen places.

use bitflags::bitflags;

use crate::{
    shm::{
        BLOCK_LEN, SlotState,
        layout::{LINE_LEN, SLOT_LEN},
        record::Record,
        slot::{ASLEEP_OFFSET, word},
    },
    sync::Ordering,
    sys::failpoint::{self, Failpoint},
};

/// Bytes of reply that travel inside the slot.
pub(crate) const REPLY_INLINE_MAX: usize = 96;

const LEN_OFFSET: usize = 4;
/// The status, then the written range, start below end.
const WORDS_OFFSET: usize = 8;
const FLAGS_OFFSET: usize = 24;
pub(super) const INLINE_OFFSET: usize = 32;
/// Bytes of an inline reply that share the polled line; the rest stands in the line after it.
pub(super) const INLINE_FIRST: usize = LINE_LEN - INLINE_OFFSET;

bitflags! {
    /// How the answer is to be understood.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct CompletionFlags: u32 {
        /// The status is an errno.
        const ERROR = 1;
        /// The client's own wish to be unblocked was granted; the status says nothing.
        const CANCELLED = 2;
    }
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Completion {
    pub(crate) flags: CompletionFlags,
    pub(crate) status: i64,
    /// Reply bytes from offset 0.
    pub(crate) len: u32,
    /// The range that earlier writes touched, as start and end.
    pub(crate) written: (u32, u32),
}

/// One slot of a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'a>(Record<'a, SLOT_LEN>);

const _: () = assert!(LEN_OFFSET + 4 <= WORDS_OFFSET && WORDS_OFFSET + 16 <= FLAGS_OFFSET);
const _: () = assert!(FLAGS_OFFSET + 4 <= ASLEEP_OFFSET);
const _: () = assert!(ASLEEP_OFFSET + 4 <= INLINE_OFFSET);
const _: () = assert!(INLINE_OFFSET + REPLY_INLINE_MAX == SLOT_LEN);
const _: () = assert!(REPLY_INLINE_MAX == 3 * BLOCK_LEN);

impl<'a> Slot<'a> {
    pub(super) fn of(record: Record<'a, SLOT_LEN>) -> Slot<'a> {
        Slot(record)
    }

    /// Server: puts a reply in the slot's own lines, by whole blocks: what is behind its end is overwritten, too.
    ///
    /// # Panics
    /// When there are more blocks than fit.
    #[inline(always)]
    pub(crate) fn write_blocks(self, blocks: &[[u8; BLOCK_LEN]]) {
        self.0.write_blocks::<INLINE_OFFSET>(blocks);
    }

    /// Server: writes all of an answer but the word that hands it over.
    #[inline(always)]
    pub(crate) fn write_answer(self, completion: &Completion) {
        let (start, end) = completion.written;
        let written = u64::from(start) | u64::from(end) << 32;
        // In registers, part by part: a load that spans what was just stored in smaller parts waits until all
        // stores before it, to the far line as well, have reached the cache.
        self.0.write_half::<LEN_OFFSET>(completion.len);
        let words = [completion.status.cast_unsigned(), written];
        self.0.write_words::<WORDS_OFFSET, 2>(words);
        self.0.write_half::<FLAGS_OFFSET>(completion.flags.bits());
    }

    /// Server: hands over what [`write_answer`](Self::write_answer) wrote.
    #[inline(always)]
    pub(crate) fn publish(self, generation: u32) {
        failpoint::pass(Failpoint::ReplyWritten);
        let state = self.0.atomic_u32::<0>();
        state.store(word(SlotState::Done, generation), Ordering::Release);
        failpoint::pass(Failpoint::ReplyPublished);
    }

    /// Client: whether the answer is there.
    #[inline(always)]
    pub(crate) fn is_done(self, generation: u32) -> bool {
        let state = self.0.atomic_u32::<0>();
        state.load(Ordering::Acquire) == word(SlotState::Done, generation)
    }

    /// Client: the answer of a slot that is done. A hostile server's flags and lengths are bounded by
    /// whoever uses them.
    #[inline(always)]
    pub(crate) fn completion(self) -> Completion {
        let [status, written] = self.0.read_words::<WORDS_OFFSET, 2>();
        Completion {
            flags: CompletionFlags::from_bits_truncate(self.0.read_half::<FLAGS_OFFSET>()),
            status: status.cast_signed(),
            len: self.0.read_half::<LEN_OFFSET>(),
            written: (written as u32, (written >> 32) as u32),
        }
    }

    /// Client: takes reply bytes from the slot's own lines; answers how many there were.
    #[inline(always)]
    pub(crate) fn read_reply(self, offset: usize, into: &mut [u8]) -> usize {
        let offset = offset.min(REPLY_INLINE_MAX);
        let room = REPLY_INLINE_MAX - offset;
        // Who asks for a known number of bytes gets a copy of just that, without a look at how many they are.
        if into.len() <= room {
            self.0.read_short::<INLINE_OFFSET>(offset, into);
            into.len()
        } else {
            let into = &mut into[..room];
            self.0.read_short::<INLINE_OFFSET>(offset, into);
            room
        }
    }

    /// Asks for all of its lines, which will be read or written: see [`super::prefetch`].
    #[inline(always)]
    pub(super) fn prefetch<const WRITE: bool>(self) {
        self.0.prefetch::<WRITE>();
    }
}
