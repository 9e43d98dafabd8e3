//! Which ids of a gapless count have been seen: the duplicate filter, of bounded size.

use crate::limits::SEEN_WINDOW;

const WORDS: usize = SEEN_WINDOW / 64;

/// Everything below `base` was seen, nothing at or above `base + SEEN_WINDOW` may be.
#[derive(Clone)]
pub(super) struct Seen {
    base: u64,
    bits: [u64; WORDS],
}

impl Seen {
    pub(super) fn new() -> Seen {
        Seen {
            base: 0,
            bits: [0; WORDS],
        }
    }

    /// The lowest id not seen.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        id < self.base || (self.is_within(id) && self.bits[word(id)] & bit(id) != 0)
    }

    /// Whether `id` is near enough to be remembered.
    pub(super) fn is_within(&self, id: u64) -> bool {
        id < self.base.saturating_add(SEEN_WINDOW as u64)
    }

    /// Whether none of `count` ids from `first` on was seen, and all are near enough to be remembered.
    pub(super) fn are_new(&self, first: u64, count: u64) -> bool {
        let end = first.saturating_add(count);
        first >= self.base && self.is_within(end - 1) && (first..end).all(|id| !self.contains(id))
    }

    /// Remembers `count` ids from `first` on, some of which may have been seen.
    ///
    /// # Panics
    /// If one is not within the window.
    pub(super) fn insert_run(&mut self, first: u64, count: u64) {
        let is_next = first == self.base && self.are_new(first, count);
        match is_next {
            true => {
                self.base += count;
                self.pass_seen();
            }
            false => (first..first + count).for_each(|id| {
                self.insert(id);
            }),
        }
    }

    /// Remembers `id`; false if it was seen before.
    ///
    /// # Panics
    /// If `id` is not within the window: to be checked before.
    pub(super) fn insert(&mut self, id: u64) -> bool {
        assert!(
            self.is_within(id),
            "ids beyond the window are refused before they are remembered"
        );
        if self.contains(id) {
            return false;
        }
        self.bits[word(id)] |= bit(id);
        self.pass_seen();
        true
    }

    /// Moves the base over what was seen.
    fn pass_seen(&mut self) {
        while self.bits[word(self.base)] & bit(self.base) != 0 {
            self.bits[word(self.base)] &= !bit(self.base);
            self.base += 1;
        }
    }
}

fn word(id: u64) -> usize {
    (id as usize % SEEN_WINDOW) / 64
}

fn bit(id: u64) -> u64 {
    1 << (id % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_new_once_in_any_order_within_the_window() {
        let mut seen = Seen::new();
        let order = |i: u64| if i.is_multiple_of(2) { i + 1 } else { i - 1 };
        for i in 0..3 * SEEN_WINDOW as u64 {
            assert!(seen.insert(order(i)), "{i}");
            assert!(!seen.insert(order(i)), "{i}");
        }
        assert_eq!(seen.base(), 3 * SEEN_WINDOW as u64);
    }

    #[test]
    fn a_missing_id_holds_the_window_until_it_comes() {
        let mut seen = Seen::new();
        let last = SEEN_WINDOW as u64 - 1;
        for id in 1..=last {
            assert!(seen.insert(id));
        }
        assert!(seen.is_within(last) && !seen.is_within(last + 1));
        assert!(!seen.contains(0) && seen.contains(last));
        assert!(seen.insert(0));
        assert_eq!(seen.base(), last + 1);
        assert!(!seen.contains(last + 1));
    }
}
