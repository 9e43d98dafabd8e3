//! The answers of a batch, in private memory until they are handed over together.
//!
//! Handing over goes through the answers of one connection twice: what they say is written first, then the
//! words that hand them over, the last one first. Between two stores to a line that its client polls nothing
//! else happens, and a client that waits for the oldest answer finds all of them: one that followed the
//! writing from slot to slot would fetch each line half written.

use crate::{
    abi::{Errno, Result, limits::BATCH_REPLIES},
    channel::leases::Run,
    shm::{
        BLOCK_LEN, Completion, CompletionFlags, Copied, DoneSlots, EntryFlags, Region, Slot,
        copy_slice,
    },
    sys::failpoint::{self, Failpoint},
};

/// Where the reply to a batched message is written before it is handed over.
#[derive(Debug)]
pub struct BatchReply<'a> {
    blocks: &'a mut Blocks,
    /// The first block.
    start: usize,
    /// Bytes.
    len: usize,
    room: usize,
}

/// The answers of one chunk of a batch.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Places for as many as there can be; the first `count` are taken.
    answers: Vec<Staged>,
    count: usize,
    blocks: Blocks,
    /// Blocks that the answers so far take.
    used: usize,
}

/// Replies one after the other, each from a block of its own on: they are copied by whole blocks. The room
/// for them stays.
type Blocks = Vec<[u8; BLOCK_LEN]>;

/// An answer that waits for those after it.
#[derive(Clone, Copy, Debug, Default)]
struct Staged {
    status: i64,
    flags: CompletionFlags,
    /// Its reply: bytes, and the first block.
    len: u32,
    start: u32,
}

impl Staging {
    pub(super) fn clear(&mut self) {
        self.answers.resize(BATCH_REPLIES, Staged::default());
        self.count = 0;
        self.used = 0;
    }

    /// Room for the reply to a message, up to `room` bytes.
    #[inline]
    pub(super) fn reply(&mut self, room: usize) -> BatchReply<'_> {
        BatchReply {
            start: self.used,
            blocks: &mut self.blocks,
            len: 0,
            room,
        }
    }

    /// Puts the next answer behind the others, with `len` bytes in the reply that was made room for last.
    ///
    /// # Panics
    /// When there are [`BATCH_REPLIES`] already.
    #[inline]
    pub(super) fn push(&mut self, outcome: Result<i64>, len: usize) {
        let start = self.used;
        let staged = &mut self.answers[self.count];
        *staged = match outcome {
            Ok(status) => Staged {
                status,
                flags: CompletionFlags::empty(),
                len: len as u32,
                start: start as u32,
            },
            Err(Errno(0)) => Staged::default(),
            Err(errno) => Staged {
                status: i64::from(errno.0),
                flags: CompletionFlags::ERROR,
                ..Staged::default()
            },
        };
        self.count += 1;
        self.used += len.div_ceil(BLOCK_LEN);
        if !len.is_multiple_of(BLOCK_LEN) {
            // Its last block goes to the client whole.
            let end = start * BLOCK_LEN + len;
            self.blocks.as_flattened_mut()[end..self.used * BLOCK_LEN].fill(0);
        }
    }

    /// Hands the answers from the `first` on over, to messages of one connection, but for those that `is_gone`
    /// says are not ours to answer, by their place among `items`. Answers how many clients had to be woken.
    #[inline(always)]
    pub(super) fn hand_over(
        &self,
        first: usize,
        run: &Run,
        items: &[Copied],
        is_gone: impl Fn(usize) -> bool,
    ) -> usize {
        let (region, answers) = (&run.attached.region, &self.answers[first..]);
        let lines = region.lines();
        let is_gone = &is_gone;
        let ours = || {
            let answered = items.iter().zip(&answers[..items.len()]).enumerate();
            answered
                .filter(move |(at, _)| !is_gone(*at))
                .map(|(_, answer)| answer)
        };
        for (item, staged) in ours() {
            staged.write(region, lines.slot(item.slot()), item, &self.blocks);
        }
        for (item, _) in ours().rev() {
            lines.slot(item.slot()).publish(item.generation());
        }
        failpoint::pass(Failpoint::AnswersPublished);
        let is_async = |item: &Copied| item.flags().contains(EntryFlags::ASYNC);
        if run.any.contains(EntryFlags::ASYNC)
            && let Some((bell, bit)) = &run.attached.completions
        {
            let mut slots = DoneSlots::default();
            let told = ours().filter(|(item, _)| is_async(item));
            told.for_each(|(item, _)| slots.add(item.slot()));
            region.note_done(&slots);
            bell.ring(*bit);
        }
        if run.all.contains(EntryFlags::ASYNC) {
            return 0;
        }
        let waited_for = ours().filter(|(item, _)| !is_async(item));
        region.wake_sleepers(waited_for.map(|(item, _)| item.slot()))
    }
}

impl Staged {
    /// Writes all but the word that hands the answer over.
    #[inline(always)]
    fn write(&self, region: &Region, slot: Slot<'_>, item: &Copied, blocks: &[[u8; BLOCK_LEN]]) {
        if self.len > 0 {
            let (blocks, len) = (&blocks[self.start as usize..], self.len as usize);
            if item.flags().contains(EntryFlags::REPLY_INLINE) {
                slot.write_blocks(&blocks[..len.div_ceil(BLOCK_LEN)]);
            } else {
                region.write(item.reply(region), 0, &blocks.as_flattened()[..len]);
            }
        }
        slot.write_answer(&Completion {
            flags: self.flags,
            status: self.status,
            len: self.len,
            written: (0, 0),
        });
    }
}

impl BatchReply<'_> {
    /// Adds `bytes` to the reply, as far as the client takes them; answers how many that is.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        // Who adds a known number of bytes gets a copy of just that, without a look at how many they are.
        let room = self.room - self.len;
        if bytes.len() <= room {
            self.put(bytes)
        } else {
            self.put(&bytes[..room])
        }
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) -> usize {
        let (len, start) = (bytes.len(), self.start * BLOCK_LEN + self.len);
        if self.blocks.len() * BLOCK_LEN - start < len {
            self.grow(start + len);
        }
        copy_slice(
            bytes,
            &mut self.blocks.as_flattened_mut()[start..start + len],
        );
        self.len += len;
        len
    }

    /// Makes room for at least `len` bytes of all replies of a chunk.
    #[cold]
    fn grow(&mut self, len: usize) {
        let blocks = len.div_ceil(BLOCK_LEN).next_power_of_two();
        self.blocks.resize(blocks, [0; BLOCK_LEN]);
    }

    /// Bytes of the reply so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
