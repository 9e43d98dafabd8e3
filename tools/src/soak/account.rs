//! One thread's books: every send ends once, as a reply or as an error, or is still in flight.

use std::{
    sync::atomic::{AtomicU64, Ordering, fence},
    time::Instant,
};

use serde::{Deserialize, Serialize};

/// Books that one thread keeps and others look at.
#[derive(Debug)]
pub(super) struct Account {
    started: Instant,
    /// Odd while the keeper changes something.
    version: AtomicU64,
    sends: AtomicU64,
    replies: AtomicU64,
    errors: AtomicU64,
    in_flight: AtomicU64,
    /// Milliseconds after `started` at which the oldest message in flight may have been sent.
    since_ms: AtomicU64,
}

/// The books at one moment, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) sends: u64,
    pub(super) replies: u64,
    pub(super) errors: u64,
    pub(super) in_flight: u64,
    /// How long the oldest message has been in flight.
    pub(super) oldest_ms: u64,
}

impl Account {
    pub(super) fn new() -> Account {
        Account {
            started: Instant::now(),
            version: AtomicU64::new(0),
            sends: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
        }
    }

    /// Keeper: a message is about to be sent.
    pub(super) fn begin(&self) {
        self.change(|| {
            if add(&self.in_flight, 1) == 1 {
                self.since_ms.store(self.now_ms(), Ordering::Relaxed);
            }
            add(&self.sends, 1);
        });
    }

    /// Keeper: a message came to its end.
    pub(super) fn end(&self, replied: bool) {
        self.change(|| {
            add(if replied { &self.replies } else { &self.errors }, 1);
            add(&self.in_flight, u64::MAX);
        });
    }

    /// Keeper: what was begun was never sent after all.
    pub(super) fn take_back(&self) {
        self.change(|| {
            add(&self.sends, u64::MAX);
            add(&self.in_flight, u64::MAX);
        });
    }

    /// Anybody: the books at one moment between two changes.
    pub(super) fn look(&self) -> Counts {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let in_flight = self.in_flight.load(Ordering::Relaxed);
            let since_ms = self.since_ms.load(Ordering::Relaxed);
            let counts = Counts {
                sends: self.sends.load(Ordering::Relaxed),
                replies: self.replies.load(Ordering::Relaxed),
                errors: self.errors.load(Ordering::Relaxed),
                in_flight,
                oldest_ms: match in_flight {
                    0 => 0,
                    _ => self.now_ms().saturating_sub(since_ms),
                },
            };
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return counts;
            }
            std::hint::spin_loop();
        }
    }

    fn change(&self, act: impl FnOnce()) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        act();
        self.version.store(version + 2, Ordering::Release);
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

impl Counts {
    /// Whether every send is accounted for.
    pub(super) fn is_balanced(&self) -> bool {
        self.sends == self.replies + self.errors + self.in_flight
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.sends += other.sends;
        self.replies += other.replies;
        self.errors += other.errors;
        self.in_flight += other.in_flight;
        self.oldest_ms = self.oldest_ms.max(other.oldest_ms);
    }
}

/// Only the keeper writes, so a load and a store do; answers the sum.
fn add(counter: &AtomicU64, more: u64) -> u64 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(more);
    counter.store(sum, Ordering::Relaxed);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_at_every_look() {
        let account = Account::new();
        std::thread::scope(|scope| {
            let keeper = scope.spawn(|| {
                for round in 0..100_000_u64 {
                    account.begin();
                    if round % 7 == 0 {
                        account.take_back();
                    } else {
                        account.end(round % 3 == 0);
                    }
                }
            });
            while !keeper.is_finished() {
                let counts = account.look();
                assert!(counts.is_balanced(), "{counts:?}");
            }
        });
        assert_eq!(account.look().in_flight, 0);
    }

    #[test]
    fn a_send_that_never_ends_is_seen_as_in_flight() {
        let account = Account::new();
        account.begin();
        account.begin();
        account.end(true);
        let counts = account.look();
        assert_eq!((counts.sends, counts.replies, counts.in_flight), (2, 1, 1));
        assert!(counts.is_balanced());
        assert!(!Counts { sends: 3, ..counts }.is_balanced());
    }
}
