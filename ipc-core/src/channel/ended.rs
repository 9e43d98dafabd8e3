//! Received messages that left the table in any other way than by the answer of whoever holds them.
//!
//! SYNC(ended): the count goes up before the client learns that it is let go of (Release, by the hand-over
//! of the slot's word), so whoever copies bytes that the client wrote afterwards sees it after the copy
//! (Acquire).

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// How many there were. Who holds a message looks here before it asks the table whether its client is
/// still blocked.
#[derive(Debug, Default)]
pub(super) struct Ended(AtomicU64);

impl Ended {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Release); // SYNC(ended)
    }

    /// The number when a message is received, under the lock.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it is still `count`, for bytes that were copied before.
    pub(super) fn is_still(&self, count: u64) -> bool {
        fence(Ordering::Acquire); // SYNC(ended)
        self.0.load(Ordering::Relaxed) == count
    }
}
