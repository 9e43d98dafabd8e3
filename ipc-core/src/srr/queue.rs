//! The order of receipt: priority, then time of arrival (RCV-1).

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::abi::Priority;

/// Items of one kind, best first.
///
/// The first stands beside the heap of the others: where one comes and goes at a time, the heap is not
/// touched.
#[derive(Debug)]
pub(super) struct Queue<T> {
    first: Option<Ranked<T>>,
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
            rest: BinaryHeap::new(),
        }
    }

    pub(super) fn push(&mut self, rank: Rank, item: T) {
        let new = Ranked { rank, item };
        match &mut self.first {
            None => self.first = Some(new),
            Some(first) if rank < first.rank => self.rest.push(std::mem::replace(first, new)),
            Some(_) => self.rest.push(new),
        }
    }

    pub(super) fn first_rank(&self) -> Option<Rank> {
        self.first.as_ref().map(|ranked| ranked.rank)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let first = self.first.take()?;
        self.first = self.rest.pop();
        Some(first.item)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Takes out every item that `leaves`, in no particular order; the rest keep their places.
    pub(super) fn take_if(&mut self, mut leaves: impl FnMut(&T) -> bool) -> Vec<T> {
        let rest = std::mem::take(&mut self.rest).into_iter();
        let (gone, kept): (Vec<_>, Vec<_>) = self
            .first
            .take()
            .into_iter()
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
