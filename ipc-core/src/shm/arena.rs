//! Who holds which part of a region's arena: the client's private book-keeping.
//!
//! First fit over a list of free ranges ordered by offset, neighbours joined on release. Blocks are
//! aligned to a cache line, so that two never share one.

use crate::abi::{Errno, Result, limits::MSG_LEN_MAX};

const ALIGN: u32 = 64;

/// The free ranges of one arena.
#[derive(Debug)]
pub(crate) struct Arena {
    len: u32,
    free: Vec<Block>,
}

/// A range of the arena that its holder alone uses, until it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u32,
    /// Bytes set aside: the length asked for, rounded up.
    pub(crate) len: u32,
}

impl Arena {
    pub(crate) fn new(len: u32) -> Arena {
        let free = if len == 0 {
            Vec::new()
        } else {
            vec![Block { offset: 0, len }]
        };
        Arena { len, free }
    }

    /// Sets a block of at least `len` bytes aside.
    ///
    /// # Errors
    /// `EMSGSIZE` when it can never be had, `EAGAIN` when others hold what is missing.
    pub(crate) fn allocate(&mut self, len: usize) -> Result<Block> {
        if len > MSG_LEN_MAX || len > self.len as usize {
            return Err(Errno::EMSGSIZE);
        }
        let len = (len as u32).next_multiple_of(ALIGN).max(ALIGN);
        let index = self
            .free
            .iter()
            .position(|b| b.len >= len)
            .ok_or(Errno::EAGAIN)?;
        let range = &mut self.free[index];
        let block = Block {
            offset: range.offset,
            len,
        };
        if range.len == len {
            self.free.remove(index);
        } else {
            range.offset += len;
            range.len -= len;
        }
        Ok(block)
    }

    /// Whether blocks of these lengths can ever be held together.
    pub(crate) fn can_hold(&self, lens: impl IntoIterator<Item = usize>) -> bool {
        let rounded = lens
            .into_iter()
            .map(|len| len.max(1).next_multiple_of(ALIGN as usize));
        rounded.sum::<usize>() <= self.len as usize
    }

    /// Gives a block back.
    pub(crate) fn release(&mut self, block: Block) {
        let index = self.free.partition_point(|free| free.offset < block.offset);
        self.free.insert(index, block);
        self.join(index);
        if index > 0 {
            self.join(index - 1);
        }
    }

    fn join(&mut self, index: usize) {
        let Some(next) = self.free.get(index + 1).copied() else {
            return;
        };
        let this = &mut self.free[index];
        debug_assert!(
            this.offset + this.len <= next.offset,
            "invariant: free ranges are disjoint"
        );
        if this.offset + this.len == next.offset {
            this.len += next.len;
            self.free.remove(index + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_be_had_differs_from_what_is_taken() {
        let mut arena = Arena::new(4096);
        assert_eq!(arena.allocate(4097), Err(Errno::EMSGSIZE));
        let all = arena.allocate(4096).unwrap();
        assert_eq!(arena.allocate(1), Err(Errno::EAGAIN));
        arena.release(all);
        assert!(arena.allocate(1).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn blocks_never_overlap_and_all_returns(steps in proptest::collection::vec((0_usize..900, 0_usize..8), 1..200)) {
            let mut arena = Arena::new(8192);
            let mut held: Vec<Block> = Vec::new();
            for (len, which) in steps {
                if which < held.len() && len % 2 == 0 {
                    arena.release(held.swap_remove(which));
                } else if let Ok(block) = arena.allocate(len) {
                    proptest::prop_assert!(block.len as usize >= len && block.offset + block.len <= 8192);
                    for other in &held {
                        let apart = block.offset + block.len <= other.offset
                            || other.offset + other.len <= block.offset;
                        proptest::prop_assert!(apart);
                    }
                    held.push(block);
                }
            }
            held.into_iter().for_each(|block| arena.release(block));
            proptest::prop_assert_eq!(arena.free, vec![Block { offset: 0, len: 8192 }]);
        }
    }
}
