//! The order of receipt: priority, then time of arrival (RCV-1).

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::abi::Priority;

/// Items of one kind, best first.
#[derive(Debug)]
pub(super) struct Queue<T>(BinaryHeap<Ranked<T>>);

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
        Queue(BinaryHeap::new())
    }

    pub(super) fn push(&mut self, rank: Rank, item: T) {
        self.0.push(Ranked { rank, item });
    }

    pub(super) fn first_rank(&self) -> Option<Rank> {
        self.0.peek().map(|ranked| ranked.rank)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.0.pop().map(|ranked| ranked.item)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|ranked| &ranked.item)
    }

    /// Takes out every item that `leaves`, in no particular order; the rest keep their places.
    pub(super) fn take_if(&mut self, mut leaves: impl FnMut(&T) -> bool) -> Vec<T> {
        if !self.0.iter().any(|ranked| leaves(&ranked.item)) {
            return Vec::new();
        }
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|ranked| leaves(&ranked.item));
        self.0 = kept.into();
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
