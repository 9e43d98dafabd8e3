//! Giving way: a thread that is about to sleep lets others of its CPU run first, once, where that pays.
//!
//! Where both ends of a connection run on one CPU, a wake-up and a sleep at each of them make four system
//! calls of a round trip, and the scheduler takes either end out of its queue and puts it back. A thread that
//! gives way instead stays in the queue: the other end runs, finds what was posted, answers, gives way in its
//! turn, and nobody was asleep to be woken. That is two system calls. It is no spinning: it happens once in a
//! wait, and the thread sleeps next.
//!
//! The scheduler does not promise to run the other end. With a third thread on the CPU that has work to do,
//! giving way means to wait for its time slice, which sleeping and being woken does not. So a place where
//! nobody waited often yet does not give way at all, one that it did not pay for does so ever more rarely,
//! and after one that took long there is none for a long time.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{
    abi::limits::{GIVE_WAY_AFTER, GIVE_WAY_LONG_TICKS, GIVE_WAY_PROBE_EVERY_MAX, GIVE_WAY_REST},
    sys::{clock, thread},
};

/// What one waiting place has learnt. Threads that wait there at the same time may count a wait too few: all
/// of it is about what is likely to pay.
#[derive(Debug)]
pub struct GiveWay {
    /// Waits until the next try.
    left_out: AtomicU32,
    /// How many are left out after the next try that does not pay.
    probe_every: AtomicU32,
}

/// A thread gave way, and came back.
#[derive(Debug)]
#[must_use = "the place learns from what came of it"]
pub struct GaveWay {
    took_ticks: u64,
}

/// Lets others of this CPU run. The caller holds no lock, looks round afterwards, and says by
/// [`GiveWay::came_back`] what it found.
pub fn give_way() -> GaveWay {
    let begin = clock::ticks();
    thread::give_way();
    let took_ticks = clock::ticks().saturating_sub(begin);
    GaveWay { took_ticks }
}

impl Default for GiveWay {
    fn default() -> GiveWay {
        GiveWay::new()
    }
}

impl GiveWay {
    /// A place where nobody waited yet.
    pub fn new() -> GiveWay {
        GiveWay {
            left_out: AtomicU32::new(GIVE_WAY_AFTER),
            probe_every: AtomicU32::new(1),
        }
    }

    /// Whether to give way this time; otherwise the thread is to sleep at once. To be asked once in a wait.
    pub fn is_due(&self) -> bool {
        let left = self.left_out.load(Ordering::Relaxed);
        if left > 0 {
            self.left_out.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }

    /// Learns from a try that was due: whether what was waited for `came` meanwhile.
    pub fn came_back(&self, gave: GaveWay, came: bool) {
        let leave_out = if gave.took_ticks >= GIVE_WAY_LONG_TICKS {
            GIVE_WAY_REST
        } else if came {
            self.probe_every.store(1, Ordering::Relaxed);
            0
        } else {
            let every = self.probe_every.load(Ordering::Relaxed);
            let more = (every * 2).min(GIVE_WAY_PROBE_EVERY_MAX);
            self.probe_every.store(more, Ordering::Relaxed);
            every
        };
        self.left_out.store(leave_out, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits that pass until the place gives way again, of at most `max`.
    fn waits_until_a_try(place: &GiveWay, max: u32) -> u32 {
        (0..max).take_while(|_| !place.is_due()).count() as u32
    }

    fn after_warming_up() -> GiveWay {
        let place = GiveWay::new();
        for _ in 0..GIVE_WAY_AFTER {
            assert!(!place.is_due(), "not from the beginning");
        }
        place
    }

    const SHORT: GaveWay = GaveWay { took_ticks: 1 };

    #[test]
    fn a_place_that_is_seldom_waited_at_never_gives_way() {
        after_warming_up();
    }

    #[test]
    fn where_it_pays_every_wait_gives_way() {
        let place = after_warming_up();
        for _ in 0..100 {
            assert!(place.is_due());
            place.came_back(SHORT, true);
        }
    }

    #[test]
    fn where_it_does_not_pay_tries_become_rare_and_one_that_pays_brings_them_back() {
        let place = after_warming_up();
        let mut tries = 0;
        for _ in 0..20 * GIVE_WAY_PROBE_EVERY_MAX {
            if place.is_due() {
                place.came_back(SHORT, false);
                tries += 1;
            }
        }
        assert!((10..40).contains(&tries), "{tries} tries");
        waits_until_a_try(&place, GIVE_WAY_PROBE_EVERY_MAX + 1);
        place.came_back(SHORT, true);
        assert!(place.is_due());
    }

    #[test]
    #[cfg_attr(miri, ignore = "waits a quarter of a million times")]
    fn one_that_took_long_is_the_last_for_a_long_time_even_if_it_paid() {
        let place = after_warming_up();
        let long = GaveWay {
            took_ticks: GIVE_WAY_LONG_TICKS,
        };
        place.came_back(long, true);
        assert_eq!(waits_until_a_try(&place, 2 * GIVE_WAY_REST), GIVE_WAY_REST);
    }
}
