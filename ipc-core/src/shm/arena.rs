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
    /// Where the highest block ended that was set aside since the arena was [renewed](Arena::renew).
    used: u32,
    /// Bytes that are set aside.
    held: u32,
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
        Arena {
            len,
            free,
            used: 0,
            held: 0,
        }
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
        self.used = self.used.max(block.offset + block.len);
        self.held += block.len;
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

    /// Bytes from the start of the arena that blocks were set aside of.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// Bytes that are set aside.
    pub(crate) fn held(&self) -> u32 {
        self.held
    }

    /// Begins as if no block had ever been set aside; answers the bytes that were used, `None` if a block still is.
    pub(crate) fn renew(&mut self) -> Option<u32> {
        let is_whole = matches!(self.free[..], [Block { offset: 0, len }] if len == self.len);
        is_whole.then(|| std::mem::take(&mut self.used))
    }

    /// Gives a block back.
    pub(crate) fn release(&mut self, block: Block) {
        self.held -= block.len;
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

    #[test]
    fn an_arena_is_renewed_when_all_of_it_is_free_and_knows_how_far_it_was_used() {
        let mut arena = Arena::new(4096);
        assert_eq!((arena.used(), arena.renew()), (0, Some(0)));
        let (low, high) = (arena.allocate(100).unwrap(), arena.allocate(1000).unwrap());
        arena.release(low);
        assert_eq!((arena.used(), arena.renew()), (1152, None));
        arena.release(high);
        assert_eq!((arena.used(), arena.renew()), (1152, Some(1152)));
        assert_eq!((arena.used(), Arena::new(0).renew()), (0, None));
        let low = arena.allocate(1).unwrap();
        assert_eq!(arena.used(), 64);
        arena.release(low);
    }

    /// Which 64 bytes of the arena are held: too simple to be wrong.
    struct Oracle(Vec<bool>);

    impl Oracle {
        /// Where first fit puts a block of so many units.
        fn first_fit(&self, units: usize) -> Option<usize> {
            (0..=self.0.len().checked_sub(units)?)
                .find(|at| !self.0[*at..at + units].contains(&true))
        }

        fn set(&mut self, block: Block, held: bool) {
            let (at, units) = (block.offset / ALIGN, block.len / ALIGN);
            for unit in &mut self.0[at as usize..(at + units) as usize] {
                assert_ne!(*unit, held, "a block overlaps another, or was not held");
                *unit = held;
            }
        }

        /// The free ranges as they must be: as long as can be, by offset.
        fn free(&self) -> Vec<Block> {
            let mut free: Vec<Block> = Vec::new();
            for (at, _) in self.0.iter().enumerate().filter(|(_, held)| !**held) {
                let offset = at as u32 * ALIGN;
                match free.last_mut() {
                    Some(last) if last.offset + last.len == offset => last.len += ALIGN,
                    _ => free.push(Block { offset, len: ALIGN }),
                }
            }
            free
        }
    }

    proptest::proptest! {
        #[test]
        fn blocks_are_those_of_first_fit_and_neighbours_always_join(
            steps in proptest::collection::vec((0_usize..1500, 0_usize..12), 1..if cfg!(miri) { 20 } else { 300 }),
        ) {
            let mut arena = Arena::new(8192);
            let mut oracle = Oracle(vec![false; 128]);
            let mut held: Vec<(Block, usize)> = Vec::new();
            for (len, which) in steps {
                if which < held.len() {
                    let (block, _) = held.swap_remove(which);
                    arena.release(block);
                    oracle.set(block, false);
                } else {
                    let units = len.max(1).div_ceil(ALIGN as usize);
                    let block = arena.allocate(len);
                    let offset = block.map(|block| block.offset / ALIGN).map_err(|error| error.0);
                    let expected = oracle.first_fit(units).map(|at| at as u32);
                    proptest::prop_assert_eq!(offset, expected.ok_or(Errno::EAGAIN.0));
                    if let Ok(block) = block {
                        proptest::prop_assert_eq!(block.len as usize, units * ALIGN as usize);
                        proptest::prop_assert!(arena.can_hold(held.iter().map(|(_, len)| *len).chain([len])));
                        oracle.set(block, true);
                        held.push((block, len));
                    }
                }
                proptest::prop_assert_eq!(&arena.free, &oracle.free());
                proptest::prop_assert_eq!(arena.held(), held.iter().map(|(block, _)| block.len).sum::<u32>());
            }
            held.into_iter().for_each(|(block, _)| arena.release(block));
            proptest::prop_assert_eq!(arena.free, vec![Block { offset: 0, len: 8192 }]);
        }
    }

    #[test]
    fn an_arena_of_four_lines_is_right_after_every_sequence_of_six_steps() {
        // Allocate 1 to 4 lines, or release the first, second or last block: seven choices, six times.
        for sequence in 0..if cfg!(miri) { 50 } else { 7_u32.pow(6) } {
            let mut arena = Arena::new(4 * ALIGN);
            let mut oracle = Oracle(vec![false; 4]);
            let mut held: Vec<Block> = Vec::new();
            for step in 0..6 {
                match sequence / 7_u32.pow(step) % 7 {
                    choice @ 0..4 => {
                        let units = choice as usize + 1;
                        let block = arena.allocate(units * ALIGN as usize);
                        let expected = oracle.first_fit(units).ok_or(Errno::EAGAIN);
                        assert_eq!(block.map(|block| (block.offset / ALIGN) as usize), expected);
                        if let Ok(block) = block {
                            oracle.set(block, true);
                            held.push(block);
                        }
                    }
                    choice => {
                        let which = [0, 1, held.len().saturating_sub(1)][choice as usize - 4];
                        if which < held.len() {
                            let block = held.remove(which);
                            arena.release(block);
                            oracle.set(block, false);
                        }
                    }
                }
                assert_eq!(arena.free, oracle.free());
            }
        }
    }
}
