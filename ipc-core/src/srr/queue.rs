//! The order of receipt: priority, then time of arrival (RCV-1).

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};

use crate::abi::Priority;

/// Items of one kind, best first.
///
/// The first stands beside the others: where one comes and goes at a time, nothing else is touched. Behind it
/// those stand in line that came in their order, which is what a crowd of one priority does; only who would
/// have to be put in between goes to the heap.
#[derive(Debug)]
pub(super) struct Queue<T> {
    first: Option<Ranked<T>>,
    /// By rank.
    line: VecDeque<Ranked<T>>,
    rest: BinaryHeap<Ranked<T>>,
}

/// The place of an item among all others: smaller comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    pub(super) priority: Priority,
    /// When it was sent; 0 when the sender did not say.
    pub(super) stamp_ns: u64,
    /// In which order the table learned of it: breaks ties.
    pub(super) order: u64,
}

#[derive(Debug)]
struct Ranked<T> {
    rank: Rank,
    item: T,
}

impl Rank {
    fn key(self) -> (u8, u64, u64) {
        (Priority::MAX - self.priority, self.stamp_ns, self.order)
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Rank) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Rank) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Queue<T> {
    pub(super) fn new() -> Queue<T> {
        Queue {
            first: None,
            line: VecDeque::new(),
            rest: BinaryHeap::new(),
        }
    }

    pub(super) fn push(&mut self, rank: Rank, item: T) {
        let new = Ranked { rank, item };
        match &mut self.first {
            None => self.first = Some(new),
            // What was first comes before all others.
            Some(first) if rank < first.rank => self.line.push_front(std::mem::replace(first, new)),
            Some(_) if self.line.back().is_none_or(|last| last.rank < rank) => {
                self.line.push_back(new)
            }
            Some(_) => self.rest.push(new),
        }
    }

    pub(super) fn first_rank(&self) -> Option<Rank> {
        self.first.as_ref().map(|ranked| ranked.rank)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let first = self.first.take()?;
        self.first = self.next();
        Some(first.item)
    }

    /// Takes out the best of those behind the first.
    fn next(&mut self) -> Option<Ranked<T>> {
        match (self.line.front(), self.rest.peek()) {
            (Some(waits), Some(other)) if other.rank < waits.rank => self.rest.pop(),
            (Some(_), _) => self.line.pop_front(),
            (None, _) => self.rest.pop(),
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.line.len() + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Takes out the first item found that `is` the one. Nothing is moved but what stands behind it in line.
    pub(super) fn take_one(&mut self, is: impl Fn(&T) -> bool) -> Option<T> {
        if is(&self.first.as_ref()?.item) {
            return self.pop();
        }
        if let Some(at) = self.line.iter().position(|ranked| is(&ranked.item)) {
            return self.line.remove(at).map(|ranked| ranked.item);
        }
        let mut found = None;
        let mut kept = std::mem::take(&mut self.rest).into_vec();
        if let Some(at) = kept.iter().position(|ranked| is(&ranked.item)) {
            found = Some(kept.swap_remove(at).item);
        }
        self.rest = kept.into();
        found
    }

    /// Takes out every item that `leaves`, in no particular order; the rest keep their places.
    pub(super) fn take_if(&mut self, mut leaves: impl FnMut(&T) -> bool) -> Vec<T> {
        let rest = std::mem::take(&mut self.rest).into_iter();
        let line = std::mem::take(&mut self.line).into_iter();
        let (gone, kept): (Vec<_>, Vec<_>) = self
            .first
            .take()
            .into_iter()
            .chain(line)
            .chain(rest)
            .partition(|ranked| leaves(&ranked.item));
        self.rest = kept.into();
        self.first = self.rest.pop();
        gone.into_iter().map(|ranked| ranked.item).collect()
    }
}

// A `BinaryHeap` pops the greatest, so the order of ranks is turned round here.
impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Ranked<T>) -> Ordering {
        other.rank.cmp(&self.rank)
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Ranked<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Ranked<T>) -> bool {
        self.rank == other.rank
    }
}

impl<T> Eq for Ranked<T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // covers: RCV-1
        #[test]
        fn gives_the_best_of_what_is_there_whatever_came_before(
            steps in prop::collection::vec((0u8..6, 0u8..3, 0u64..4), 0..80),
        ) {
            let mut queue = Queue::new();
            let mut oracle: Vec<(Rank, u64)> = Vec::new();
            for (order, (step, priority, stamp_ns)) in (0..).zip(steps) {
                match step {
                    0..=2 => {
                        let rank = Rank { priority, stamp_ns, order };
                        queue.push(rank, order);
                        oracle.push((rank, order));
                        oracle.sort();
                    }
                    3 => {
                        let best = (!oracle.is_empty()).then(|| oracle.remove(0).1);
                        prop_assert_eq!(queue.pop(), best);
                    }
                    4 => {
                        let at = oracle.len() * usize::from(priority) / 3;
                        let gone = (at < oracle.len()).then(|| oracle.remove(at).1);
                        let wanted = gone.unwrap_or(u64::MAX);
                        prop_assert_eq!(queue.take_one(|item| *item == wanted), gone);
                    }
                    _ => {
                        let mut gone = queue.take_if(|item| item % 3 == stamp_ns % 3);
                        gone.sort_unstable();
                        let leaves = |entry: &mut (Rank, u64)| entry.1 % 3 == stamp_ns % 3;
                        let mut left: Vec<u64> =
                            oracle.extract_if(.., leaves).map(|(_, item)| item).collect();
                        left.sort_unstable();
                        prop_assert_eq!(gone, left);
                    }
                }
                prop_assert_eq!(queue.len(), oracle.len());
                prop_assert_eq!(queue.is_empty(), oracle.is_empty());
                prop_assert_eq!(queue.first_rank(), oracle.first().map(|(rank, _)| *rank));
            }
        }
    }
}
