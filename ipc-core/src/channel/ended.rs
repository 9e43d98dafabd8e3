//! Received messages that left the table in any other way than by the answer of whoever holds them.
//!
//! SYNC(ended): the count goes up before the client learns that it is let go of (Release, by the hand-over
//! of the slot's word), so whoever copies bytes that the client wrote afterwards sees it after the copy
//! (Acquire).

use crate::sync::{AtomicU64, Ordering, fence};

/// How many there were. Who holds a message looks here before it asks the table whether its client is
/// still blocked.
#[derive(Debug)]
pub(super) struct Ended(AtomicU64);

impl Default for Ended {
    fn default() -> Ended {
        Ended(AtomicU64::new(0))
    }
}

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

#[cfg(all(test, loom))]
mod wake_tests {
    use loom::{sync::Arc, thread};

    use super::Ended;
    use crate::{
        shm::{self, Completion, Layout, Region},
        sync::{AtomicU32, Ordering},
    };

    const BYTES: u32 = 1;
    const NEXT_BYTES: u32 = 2;

    // SYNC(ended): the bytes of a client's next message, which it writes as soon as it is let go of.
    #[test]
    fn who_copied_the_next_messages_bytes_finds_that_its_own_has_ended() {
        loom::model(|| {
            let (region, _) = Region::create(Layout::new(1, 0).expect("a layout")).expect("memory");
            region.complete(0, 4, &Completion::default());
            let (region, ended) = (Arc::new(region), Arc::new(Ended::default()));
            let arena = Arc::new(AtomicU32::new(BYTES));
            let received_at = ended.count();
            let monitor = {
                let (region, ended) = (Arc::clone(&region), Arc::clone(&ended));
                thread::spawn(move || {
                    ended.add_one();
                    region.complete(0, 5, &Completion::default());
                })
            };
            let client = {
                let (region, arena) = (Arc::clone(&region), Arc::clone(&arena));
                thread::spawn(move || {
                    if region.is_done(0, 5) {
                        shm::before_reuse();
                        arena.store(NEXT_BYTES, Ordering::Relaxed);
                    }
                })
            };
            let copied = arena.load(Ordering::Relaxed);
            if ended.is_still(received_at) {
                assert_eq!(
                    copied, BYTES,
                    "taken for bytes of the message that was received"
                );
            }
            monitor.join().expect("no panic");
            client.join().expect("no panic");
        });
    }
}
