//! What stands behind the numbers that calls have in a session.
//!
//! Numbers are given out one after the other, and most of those in use are neighbours: each has its place in a
//! ring, found without hashing. One whose place is taken, by a call that stays open while thousands begin and
//! end, goes to a map. The one invariant: a number is in one of both at most once.

use std::collections::HashMap;

use super::random::IdHash;
use crate::limits::{NUMBER_PLACES_MAX, NUMBER_PLACES_MIN};

/// Values by number.
pub(super) struct Numbers<T> {
    /// A power of two of places, or none.
    places: Vec<Option<(u64, T)>>,
    /// Numbers whose place was taken.
    others: HashMap<u64, T, IdHash>,
    len: usize,
}

impl<T: Copy> Numbers<T> {
    pub(super) fn new(hash: IdHash) -> Numbers<T> {
        Numbers {
            places: Vec::new(),
            others: HashMap::with_hasher(hash),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, number: u64) -> Option<T> {
        match self.place(number) {
            Some(Some((its, value))) if *its == number => Some(*value),
            _ if self.others.is_empty() => None,
            _ => self.others.get(&number).copied(),
        }
    }

    /// Enters a number that is not there.
    pub(super) fn insert(&mut self, number: u64, value: T) {
        debug_assert!(self.get(number).is_none(), "a number is entered once");
        self.len += 1;
        let is_taken = |numbers: &Self| !matches!(numbers.place(number), Some(None));
        while is_taken(self) && self.places.len() < NUMBER_PLACES_MAX {
            self.grow();
        }
        match self.place_mut(number) {
            Some(place @ None) => *place = Some((number, value)),
            _ => drop(self.others.insert(number, value)),
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.place_mut(number);
        let removed = match place.and_then(|place| place.take_if(|(its, _)| *its == number)) {
            Some((_, value)) => Some(value),
            None => self.others.remove(&number),
        };
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// All values, in no order. It costs what there are, and the places, which are at most as many as there ever were
    /// neighbours at one time.
    pub(super) fn values(&self) -> impl Iterator<Item = T> {
        let places = self.places.iter().flatten().map(|(_, value)| *value);
        places.chain(self.others.values().copied())
    }

    /// The place that a number has; none before the first.
    fn place(&self, number: u64) -> Option<&Option<(u64, T)>> {
        let mask = self.places.len().wrapping_sub(1);
        self.places.get(number as usize & mask)
    }

    fn place_mut(&mut self, number: u64) -> Option<&mut Option<(u64, T)>> {
        let mask = self.places.len().wrapping_sub(1);
        self.places.get_mut(number as usize & mask)
    }

    /// Doubles the places. Numbers that had different ones have different ones again.
    fn grow(&mut self) {
        let more = (2 * self.places.len()).max(NUMBER_PLACES_MIN);
        let old = std::mem::take(&mut self.places);
        self.places.resize_with(more, || None);
        for (number, value) in old.into_iter().flatten() {
            self.places[number as usize & (more - 1)] = Some((number, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((0u8..3, 0u64..6, 0u64..3), 0..200)) {
            let mut numbers = Numbers::new(IdHash(77));
            let mut oracle = BTreeMap::new();
            for (value, (step, near, far)) in steps.into_iter().enumerate() {
                // Neighbours, and numbers that meet in one place whatever the size.
                let number = near * 63 + far * NUMBER_PLACES_MAX as u64 * 3;
                if step > 0 && !oracle.contains_key(&number) {
                    numbers.insert(number, value);
                    oracle.insert(number, value);
                } else {
                    prop_assert_eq!(numbers.remove(number), oracle.remove(&number));
                }
                prop_assert_eq!(numbers.len(), oracle.len());
                prop_assert_eq!(numbers.is_empty(), oracle.is_empty());
                let mut values: Vec<_> = numbers.values().collect();
                values.sort_unstable();
                let mut expected: Vec<_> = oracle.values().copied().collect();
                expected.sort_unstable();
                prop_assert_eq!(values, expected);
                for near in 0..6 {
                    for far in 0..3 {
                        let number = near * 63 + far * NUMBER_PLACES_MAX as u64 * 3;
                        prop_assert_eq!(numbers.get(number), oracle.get(&number).copied());
                    }
                }
            }
        }
    }
}
