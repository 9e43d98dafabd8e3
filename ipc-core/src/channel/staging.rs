//! The answers of a batch, in private memory until they are handed over together.
//!
//! Handing over goes through the answers of one connection twice: what they say is written first, then the
//! words that hand them over, the last one first. Between two stores to a line that its client polls nothing
//! else happens, and a client that waits for the oldest answer finds all of them: one that followed the
//! writing from slot to slot would fetch each line half written.

use crate::{
    abi::{Errno, Result},
    channel::leases::{Item, Run},
    shm::{
        BLOCK_LEN, Completion, CompletionFlags, DoneSlots, EntryFlags, Lines, MessageEntry, Region,
        copy_slice,
    },
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
    answers: Vec<Staged>,
    blocks: Blocks,
    /// Blocks that the answers so far take.
    used: usize,
}

/// Replies one after the other, each from a block of its own on: they are copied by whole blocks. The room
/// for them stays.
type Blocks = Vec<[u8; BLOCK_LEN]>;

/// An answer that waits for those after it.
#[derive(Clone, Copy, Debug)]
struct Staged {
    outcome: Result<i64>,
    /// Its reply: the first block, and bytes.
    start: usize,
    len: usize,
}

impl Staging {
    pub(super) fn clear(&mut self) {
        self.answers.clear();
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
    #[inline]
    pub(super) fn push(&mut self, outcome: Result<i64>, len: usize) {
        let start = self.used;
        self.used += len.div_ceil(BLOCK_LEN);
        if !len.is_multiple_of(BLOCK_LEN) {
            // Its last block goes to the client whole.
            let end = start * BLOCK_LEN + len;
            self.blocks.as_flattened_mut()[end..self.used * BLOCK_LEN].fill(0);
        }
        self.answers.push(Staged {
            outcome,
            start,
            len,
        });
    }

    /// Hands the answers from the `first` on over, to messages of one connection, but for those that `is_gone`
    /// says are not ours to answer, by their place among `items`. Answers how many clients had to be woken.
    #[inline(always)]
    pub(super) fn hand_over(
        &self,
        first: usize,
        run: &Run,
        items: &[Item],
        is_gone: impl Fn(usize) -> bool,
    ) -> usize {
        let (region, answers) = (&run.attached.region, &self.answers[first..]);
        let lines = region.lines();
        let is_gone = &is_gone;
        let ours = || {
            let answered = items.iter().zip(&answers[..items.len()]).enumerate();
            answered
                .filter(move |(at, _)| !is_gone(*at))
                .map(|(_, (item, staged))| (&item.entry, staged))
        };
        let (mut any, mut all) = (EntryFlags::empty(), EntryFlags::ASYNC);
        for (entry, staged) in ours() {
            staged.write(region, lines, entry, &self.blocks);
            (any, all) = (any | entry.flags, all & entry.flags);
        }
        for (entry, _) in ours().rev() {
            lines.publish_answer(entry.slot, entry.generation);
        }
        if any.contains(EntryFlags::ASYNC)
            && let Some((bell, bit)) = &run.attached.completions
        {
            let mut slots = DoneSlots::default();
            let told = ours().filter(|(entry, _)| entry.flags.contains(EntryFlags::ASYNC));
            told.for_each(|(entry, _)| slots.add(entry.slot));
            region.note_done(&slots);
            bell.ring(*bit);
        }
        if all.contains(EntryFlags::ASYNC) {
            return 0;
        }
        let waited_for = ours().filter(|(entry, _)| !entry.flags.contains(EntryFlags::ASYNC));
        region.wake_sleepers(waited_for.map(|(entry, _)| entry.slot))
    }
}

impl Staged {
    /// Writes all but the word that hands the answer over.
    #[inline(always)]
    fn write(
        &self,
        region: &Region,
        lines: Lines<'_>,
        entry: &MessageEntry,
        blocks: &[[u8; BLOCK_LEN]],
    ) {
        let mut completion = Completion::default();
        match self.outcome {
            Ok(status) => {
                let blocks = &blocks[self.start..];
                completion.status = status;
                completion.len = self.len as u32;
                if entry.flags.contains(EntryFlags::REPLY_INLINE) {
                    let reply = &blocks[..self.len.div_ceil(BLOCK_LEN)];
                    lines.write_reply_blocks(entry.slot, reply);
                } else {
                    region.write(entry.reply, 0, &blocks.as_flattened()[..self.len]);
                }
            }
            Err(Errno(0)) => {}
            Err(errno) => {
                completion.flags = CompletionFlags::ERROR;
                completion.status = i64::from(errno.0);
            }
        }
        lines.write_answer(entry.slot, &completion);
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
