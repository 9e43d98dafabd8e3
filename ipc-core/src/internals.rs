//! The shared-memory layer by itself, for benchmarks of its instructions: both sides in one process.
//!
//! Not part of the interface: it is there with the feature `internals` only, and changes without notice.

use crate::abi::{Priority, Result, Tid};
use crate::shm::{
    Arena, Claim, Completion, CompletionFlags, Consumer, Entry, EntryFlags, Layout, MessageEntry,
    Producer, Region,
};

/// A region with both its ends.
#[derive(Debug)]
pub struct Both {
    region: Region,
    producer: Producer,
    consumer: Consumer,
    arena: Arena,
    generation: u32,
}

impl Both {
    /// A region of 64 slots and an arena of 1 MiB.
    ///
    /// # Errors
    /// What creating shared memory answers.
    pub fn new() -> Result<Both> {
        let layout = Layout::new(64, 1 << 20)?;
        Ok(Both {
            region: Region::create(layout)?.0,
            producer: Producer::default(),
            consumer: Consumer::default(),
            arena: Arena::new(layout.arena_len()),
            generation: 0,
        })
    }

    /// Ring: posts a message with `bytes` (a cache line at most) inside its entry and takes it; answers how
    /// many bytes came.
    ///
    /// # Errors
    /// Never for entries written here.
    pub fn post_and_take(&mut self, bytes: &[u8], into: &mut [u8]) -> Result<usize> {
        let entry = MessageEntry {
            flags: EntryFlags::INLINE | EntryFlags::REPLY_INLINE,
            priority: Priority::default(),
            slot: 0,
            generation: self.generation,
            tid: Tid(1),
            stamp_ns: 0,
            len: bytes.len() as u32,
            reply_len: 0,
            message: Claim::default(),
            reply: Claim::default(),
        };
        self.producer.post_message(&self.region, &entry, bytes);
        let taken = self.consumer.pop(&self.region)?;
        self.consumer.publish_head(&self.region);
        Ok(match taken {
            Some(Entry::Message(_, inline)) => inline.read_part(0, into),
            _ => 0,
        })
    }

    /// Slot: the server hands over an answer of `bytes` inside the slot, and the client takes it.
    pub fn answer_and_take(&mut self, bytes: &[u8], into: &mut [u8]) -> usize {
        self.generation = self.generation.wrapping_add(1) & 0x0fff_ffff;
        let completion = Completion {
            flags: CompletionFlags::empty(),
            status: 0,
            len: bytes.len() as u32,
            written: (0, 0),
        };
        self.region.write_reply_inline(0, 0, bytes);
        self.region.complete(0, self.generation, &completion);
        match self.region.is_done(0, self.generation) {
            true => {
                let len = self.region.completion(0).len as usize;
                let len = len.min(into.len());
                self.region.read_reply_inline(0, 0, &mut into[..len])
            }
            false => 0,
        }
    }

    /// Claim: checks what a peer says of its arena.
    ///
    /// # Errors
    /// When the range is not inside the arena.
    pub fn claim(&self, offset: u32, len: u32) -> Result<()> {
        self.region.claim(offset, len).map(|_| ())
    }

    /// Arena: sets `len` bytes aside and gives them back.
    ///
    /// # Errors
    /// When there is no room.
    pub fn allocate_and_release(&mut self, len: usize) -> Result<()> {
        let block = self.arena.allocate(len)?;
        self.arena.release(block);
        Ok(())
    }
}
