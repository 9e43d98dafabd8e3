//! Which places of a row are free. The lowest is taken first, so that rows stay short and numbers small.

use std::{cmp::Reverse, collections::BinaryHeap};

/// The places that nobody has, of a row that has no end. To take one, or to give it back, costs what the logarithm of
/// those given back does.
#[derive(Debug, Default)]
pub(crate) struct FreeIndices {
    /// Below `end`, each once.
    returned: BinaryHeap<Reverse<u32>>,
    end: u32,
}

impl FreeIndices {
    /// The lowest place that is free.
    pub(crate) fn lowest(&self) -> u32 {
        self.returned.peek().map_or(self.end, |lowest| lowest.0)
    }

    /// Takes the lowest place.
    ///
    /// # Panics
    /// All 4,294,967,295 of them are taken, which the limits of whoever takes places do not let happen.
    pub(crate) fn take(&mut self) -> u32 {
        if let Some(Reverse(lowest)) = self.returned.pop() {
            return lowest;
        }
        let index = self.end;
        self.end = index.checked_add(1).expect("a row is bounded by a limit");
        index
    }

    /// Makes a place free that was taken.
    pub(crate) fn give_back(&mut self, index: u32) {
        debug_assert!(index < self.end, "a place that was taken");
        self.returned.push(Reverse(index));
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.end as usize - self.returned.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_place_is_taken_first() {
        let mut free = FreeIndices::default();
        assert_eq!(
            [free.take(), free.take(), free.take(), free.take()],
            [0, 1, 2, 3]
        );
        free.give_back(2);
        free.give_back(0);
        assert_eq!((free.taken(), free.lowest()), (2, 0));
        assert_eq!([free.take(), free.take(), free.take()], [0, 2, 4]);
        assert_eq!((free.taken(), free.lowest()), (5, 5));
    }
}
