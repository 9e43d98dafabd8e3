//! Sets of numbers that come mostly in a row: packets received, bytes placed.

use std::iter;
use std::ops::Range;

/// Ranges in ascending order that neither overlap nor touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Vec<Range<u64>>);

impl Runs {
    /// Adds a range; how many numbers of it are new.
    pub(crate) fn insert(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let first = self.0.partition_point(|run| run.end < range.start);
        let last = self.0.partition_point(|run| run.start <= range.end);
        let touched = &self.0[first..last];
        let before: u64 = touched.iter().map(|run| run.end - run.start).sum();
        let start = touched
            .first()
            .map_or(range.start, |run| run.start.min(range.start));
        let end = touched
            .last()
            .map_or(range.end, |run| run.end.max(range.end));
        self.0.splice(first..last, iter::once(start..end));
        end - start - before
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.0.iter().any(|run| run.contains(&number))
    }

    /// The runs from the top down.
    pub(crate) fn downwards(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter().rev()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Forgets the lowest run; where it ended.
    pub(crate) fn forget_lowest(&mut self) -> u64 {
        self.0.remove(0).end
    }
}

#[test]
fn what_overlaps_or_touches_is_one_run() {
    let mut runs = Runs::default();
    assert_eq!(runs.insert(4..6), 2);
    assert_eq!(runs.insert(8..9), 1);
    assert_eq!(runs.insert(5..8), 2);
    assert_eq!(runs.insert(4..9), 0);
    assert_eq!(runs.insert(0..2), 2);
    let all: Vec<_> = runs.downwards().cloned().collect();
    assert_eq!(all, [4..9, 0..2]);
    assert!(runs.contains(8) && !runs.contains(2));
}
