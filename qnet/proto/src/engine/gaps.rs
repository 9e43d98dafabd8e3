//! What a peer may leave open: the ranges of its messages and replies of which not all has arrived.
//!
//! Whatever leaves no more ranges than there are is taken always, so that what is incomplete can be completed.

use std::ops::Range;

use super::ranges::RangeSet;
use crate::limits::{PLACED_RANGES_MAX, PLACED_RANGES_OF_PEER_MAX};

/// Counts the ranges beyond each one's first, of all messages and replies of a session.
#[derive(Default)]
pub(super) struct Gaps(usize);

impl Gaps {
    /// Whether `range` may be added to `set`.
    pub(super) fn have_room_for(&self, set: &RangeSet, range: &Range<u32>) -> bool {
        let more_fit = set.gaps() + 1 < PLACED_RANGES_MAX && self.0 < PLACED_RANGES_OF_PEER_MAX;
        more_fit || set.is_empty() || set.touches(range)
    }

    /// Adds `range` to `set`; answers how many of its bytes were new, or `None` if it may not be added.
    pub(super) fn place(&mut self, set: &mut RangeSet, range: Range<u32>) -> Option<u32> {
        if !self.have_room_for(set, &range) {
            return None;
        }
        let before = set.gaps();
        let new = set.insert(range);
        self.0 = self.0 + set.gaps() - before;
        Some(new)
    }

    /// A message or reply has ended of which this was placed.
    pub(super) fn forget(&mut self, count: usize) {
        self.0 -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set with so many gaps, of one byte each.
    fn with_gaps(gaps: &mut Gaps, count: usize) -> RangeSet {
        let mut set = RangeSet::default();
        for at in 0..=count as u32 {
            assert_eq!(gaps.place(&mut set, 2 * at..2 * at + 1), Some(1));
        }
        set
    }

    #[test]
    fn a_full_set_takes_what_touches_it_and_nothing_else() {
        let mut gaps = Gaps::default();
        let mut set = with_gaps(&mut gaps, PLACED_RANGES_MAX - 1);
        let end = 2 * PLACED_RANGES_MAX as u32;
        assert_eq!(gaps.place(&mut set, end..end + 5), None);
        assert_eq!(gaps.place(&mut set, end - 1..end), Some(1), "it is longer");
        assert_eq!(gaps.place(&mut set, 1..2), Some(1), "it closes a gap");
        assert_eq!(gaps.place(&mut set, end + 1..end + 2), Some(1));
        assert_eq!(gaps.0, PLACED_RANGES_MAX - 1);
    }

    #[test]
    fn full_sets_together_leave_each_other_one_its_first_range() {
        let mut gaps = Gaps::default();
        let mut sets = Vec::new();
        while gaps.0 < PLACED_RANGES_OF_PEER_MAX {
            let left = PLACED_RANGES_OF_PEER_MAX - gaps.0;
            sets.push(with_gaps(&mut gaps, left.min(PLACED_RANGES_MAX - 1)));
        }
        let mut other = RangeSet::default();
        assert_eq!(gaps.place(&mut other, 10..20), Some(10));
        assert_eq!(gaps.place(&mut other, 30..40), None);
        assert_eq!(gaps.place(&mut other, 20..25), Some(5));
        let gone = sets.pop().expect("there are some");
        gaps.forget(gone.gaps());
        assert_eq!(gaps.place(&mut other, 30..40), Some(10));
        assert_eq!(gaps.place(&mut other, 0..40), Some(15));
        sets.iter().for_each(|set| gaps.forget(set.gaps()));
        assert_eq!(gaps.0, 0);
    }
}
