//! Sets of bytes: which were placed, which are to be sent, which are known to have arrived.

use std::ops::Range;

/// Disjoint, sorted, non-adjacent ranges of offsets. One range, the common case, costs no allocation, and no more room
/// than a pointer besides: each call has three such sets.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeSet {
    first: Range<u32>,
    /// What lies above `first`, which is then not empty.
    #[allow(clippy::box_collection, reason = "a vector is three times as long")]
    rest: Option<Box<Vec<Range<u32>>>>,
}

impl RangeSet {
    pub(super) fn of(range: Range<u32>) -> RangeSet {
        let mut set = RangeSet::default();
        set.insert(range);
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The lowest range.
    pub(super) fn first(&self) -> Range<u32> {
        self.first.clone()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let first = Some(self.first.clone()).filter(|range| !range.is_empty());
        first.into_iter().chain(self.rest().iter().cloned())
    }

    fn rest(&self) -> &[Range<u32>] {
        self.rest.as_deref().map_or(&[], Vec::as_slice)
    }

    fn take_rest(&mut self) -> Vec<Range<u32>> {
        self.rest.take().map_or_else(Vec::new, |rest| *rest)
    }

    fn put_rest(&mut self, rest: Vec<Range<u32>>) {
        self.rest = (!rest.is_empty()).then(|| Box::new(rest));
    }

    /// Bytes in the set.
    pub(super) fn len(&self) -> u32 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Ranges beyond the first.
    pub(super) fn gaps(&self) -> usize {
        self.rest().len()
    }

    /// Whether adding `range` leaves no more ranges than there are.
    pub(super) fn touches(&self, range: &Range<u32>) -> bool {
        self.iter()
            .any(|r| r.start <= range.end && range.start <= r.end)
    }

    /// Whether any byte of `range` is in the set.
    pub(super) fn overlaps(&self, range: &Range<u32>) -> bool {
        self.iter()
            .any(|r| r.start < range.end && range.start < r.end)
    }

    /// Adds `range`; answers how many of its bytes were new.
    pub(super) fn insert(&mut self, range: Range<u32>) -> u32 {
        if range.is_empty() {
            return 0;
        }
        if self.is_empty() {
            self.first = range.clone();
            return range.end - range.start;
        }
        // The common cases: in order, or a repetition.
        let touches_first = (self.first.start..=self.first.end).contains(&range.start);
        if touches_first
            && self
                .rest()
                .first()
                .is_none_or(|next| range.end < next.start)
        {
            let end = self.first.end.max(range.end);
            let new = end - self.first.end;
            self.first.end = end;
            return new;
        }
        // At the upper end, as everything behind a gap comes.
        if let Some(last) = self.rest.as_mut().and_then(|rest| rest.last_mut())
            && (last.start..=last.end).contains(&range.start)
        {
            let new = range.end.saturating_sub(last.end);
            last.end += new;
            return new;
        }
        self.merge(range)
    }

    /// As [`RangeSet::insert`], wherever the range is.
    fn merge(&mut self, range: Range<u32>) -> u32 {
        let before = self.len();
        let mut all = self.take_rest();
        all.insert(0, self.first.clone());
        let from = all.partition_point(|r| r.end < range.start);
        let to = all.partition_point(|r| r.start <= range.end);
        let mut merged = range;
        if from < to {
            merged.start = merged.start.min(all[from].start);
            merged.end = merged.end.max(all[to - 1].end);
        }
        all.splice(from..to, [merged]);
        self.first = all.remove(0);
        self.put_rest(all);
        self.len() - before
    }

    /// Takes `range` out.
    pub(super) fn remove(&mut self, range: Range<u32>) {
        if range.is_empty() || self.is_empty() {
            return;
        }
        if self.rest.is_none() && range.start <= self.first.start {
            self.first.start = range.end.clamp(self.first.start, self.first.end);
            return;
        }
        let kept: Vec<Range<u32>> = self
            .iter()
            .flat_map(|r| {
                [
                    r.start..r.end.min(range.start),
                    r.start.max(range.end)..r.end,
                ]
            })
            .filter(|r| r.start < r.end)
            .collect();
        *self = RangeSet::default();
        let mut kept = kept.into_iter();
        if let Some(first) = kept.next() {
            self.first = first;
            self.put_rest(kept.collect());
        }
    }

    /// Takes up to `len` bytes off the lowest range, none of them at or above `limit`.
    pub(super) fn take_first(&mut self, len: u32, limit: u32) -> Option<Range<u32>> {
        let end = self
            .first
            .end
            .min(limit)
            .min(self.first.start.saturating_add(len));
        if self.first.start >= end {
            return None;
        }
        let taken = self.first.start..end;
        self.first.start = end;
        if self.first.is_empty() {
            self.first = 0..0;
            if let Some(rest) = &mut self.rest {
                self.first = rest.remove(0);
                if rest.is_empty() {
                    self.rest = None;
                }
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_offsets(steps in prop::collection::vec((0u8..3, 0u32..64, 0u32..16), 0..60)) {
            let mut set = RangeSet::default();
            let mut oracle = BTreeSet::new();
            for (step, start, len) in steps {
                let range = start..start + len;
                match step {
                    0 => {
                        let new = set.insert(range.clone());
                        let added = range.filter(|&at| oracle.insert(at)).count();
                        prop_assert_eq!(new as usize, added);
                    }
                    1 => {
                        set.remove(range.clone());
                        range.for_each(|at| { oracle.remove(&at); });
                    }
                    _ => {
                        if let Some(taken) = set.take_first(len, start) {
                            prop_assert_eq!(oracle.first(), Some(&taken.start));
                            for at in taken {
                                prop_assert!(at < start && oracle.remove(&at));
                            }
                        }
                    }
                }
                prop_assert_eq!(set.len() as usize, oracle.len());
                prop_assert!(set.iter().flatten().eq(oracle.iter().copied()));
                prop_assert_eq!(set.is_empty(), oracle.is_empty());
                prop_assert_eq!(set.gaps(), set.iter().count().saturating_sub(1));
                let is_in = |at: u32| oracle.contains(&at);
                let is_near = is_in(start) || start.checked_sub(1).is_some_and(is_in);
                prop_assert_eq!(set.touches(&(start..start)), is_near);
                let sorted: Vec<_> = set.iter().collect();
                prop_assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
