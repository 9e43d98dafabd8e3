//! The order of receipt: priority, then time of arrival (RCV-1).

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};

use crate::abi::{Priority, limits::QUEUE_SPARE};

/// Items of one kind, best first.
///
/// The first stands beside the others: where one comes and goes at a time, nothing else is touched. Behind it
/// those stand in line that came in their order, which is what a crowd of one priority does; only who would
/// have to be put in between goes to the heap. The one invariant: the first is one that is still there.
#[derive(Debug)]
pub(super) struct Queue<T> {
    first: Option<Ranked<T>>,
    /// By rank.
    line: VecDeque<Ranked<T>>,
    rest: BinaryHeap<Ranked<T>>,
    /// Items behind the first that have left.
    left: usize,
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
            left: 0,
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

    /// Takes out the first item. `stays` says of each of the others whether it is still there.
    #[inline]
    pub(super) fn pop(&mut self, stays: impl Fn(&T) -> bool) -> Option<T> {
        let first = self.first.take()?;
        self.first = self.next();
        self.shed(stays);
        self.give_back_room();
        Some(first.item)
    }

    /// One of the items has left: it no longer `stays`. To be told of each, once. Nobody searches for it: it is passed
    /// over when its turn comes, or with all others that left once those are the most.
    pub(super) fn leave(&mut self, stays: impl Fn(&T) -> bool) {
        self.left += 1;
        self.shed(&stays);
        if self.left > QUEUE_SPARE.max(self.len()) {
            self.retain(stays);
        }
    }

    /// Takes out all but those that stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        self.line.retain(|ranked| stays(&ranked.item));
        self.rest.retain(|ranked| stays(&ranked.item));
        self.left = 0;
        if self.first.as_ref().is_some_and(|first| !stays(&first.item)) {
            self.first = self.next();
        }
        self.give_back_room();
    }

    /// Items that are still there.
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.line.len() + self.rest.len() - self.left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Takes out the best of those behind the first.
    fn next(&mut self) -> Option<Ranked<T>> {
        match (self.line.front(), self.rest.peek()) {
            (Some(waits), Some(other)) if other.rank < waits.rank => self.rest.pop(),
            (Some(_), _) => self.line.pop_front(),
            (None, _) => self.rest.pop(),
        }
    }

    /// Makes sure that the first is one that stays.
    fn shed(&mut self, stays: impl Fn(&T) -> bool) {
        while self.left > 0
            && let Some(first) = &self.first
            && !stays(&first.item)
        {
            self.left -= 1;
            self.first = self.next();
        }
    }

    /// Gives memory back that a burst needed: what is kept is twice what is in use, or little.
    fn give_back_room(&mut self) {
        let is_much = |len: usize, capacity| capacity > QUEUE_SPARE && len < capacity / 4;
        if is_much(self.line.len(), self.line.capacity()) {
            self.line.shrink_to(QUEUE_SPARE.max(2 * self.line.len()));
        }
        if is_much(self.rest.len(), self.rest.capacity()) {
            self.rest.shrink_to(QUEUE_SPARE.max(2 * self.rest.len()));
        }
    }

    /// Items that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.line.capacity() + self.rest.capacity()
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
    use std::collections::BTreeSet;

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
            let mut left = BTreeSet::new();
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
                        prop_assert_eq!(queue.pop(|item| !left.contains(item)), best);
                    }
                    4 => {
                        let at = oracle.len() * usize::from(priority) / 3;
                        if at < oracle.len() {
                            left.insert(oracle.remove(at).1);
                            queue.leave(|item| !left.contains(item));
                        }
                    }
                    _ => {
                        let leaves = |item: &u64| item % 3 == stamp_ns % 3;
                        queue.retain(|item| !leaves(item) && !left.contains(item));
                        oracle.retain(|(_, item)| !leaves(item));
                    }
                }
                prop_assert_eq!(queue.len(), oracle.len());
                prop_assert_eq!(queue.is_empty(), oracle.is_empty());
                prop_assert_eq!(queue.first_rank(), oracle.first().map(|(rank, _)| *rank));
            }
        }
    }

    /// Times what is kept, of a burst; each step of Miri's takes a thousand times as long.
    const BURSTS: u64 = if cfg!(miri) { 6 } else { 16 };

    /// Items of one priority, in a line, and others that would have to be put in between.
    fn filled(len: u64) -> Queue<u64> {
        let mut queue = Queue::new();
        for order in 0..len {
            let priority = if order % 8 == 0 { 2 } else { 1 };
            let rank = Rank {
                priority,
                stamp_ns: 0,
                order,
            };
            queue.push(rank, order);
        }
        queue
    }

    #[test]
    fn items_that_left_are_searched_for_together_once_they_are_the_most() {
        let len = BURSTS * QUEUE_SPARE as u64;
        let mut queue = filled(len);
        let looks = std::cell::Cell::new(0_u64);
        for leaving in (0..len).rev() {
            queue.leave(|item| {
                looks.set(looks.get() + 1);
                *item < leaving
            });
            assert_eq!(queue.len() as u64, leaving);
        }
        assert!(queue.is_empty());
        assert!(looks.get() <= 6 * len, "{} looks at {len}", looks.get());
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back_while_it_is_taken_out() {
        let len = BURSTS as usize * QUEUE_SPARE;
        let mut queue = filled(len as u64);
        assert!(queue.capacity() >= len - 1);
        while queue.pop(|_| true).is_some() {
            let used = 4 * queue.len() + 4 + 2 * QUEUE_SPARE;
            assert!(queue.capacity() <= used.max(len * 2));
        }
        assert!(queue.capacity() <= 2 * QUEUE_SPARE);
        let mut queue = filled(len as u64);
        for leaving in 0..len as u64 {
            queue.leave(|item| *item > leaving);
        }
        assert!(queue.capacity() <= 2 * QUEUE_SPARE);
    }
}
