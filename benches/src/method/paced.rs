//! Rounds that start when they are due, not when the one before has ended.

use std::thread;
use std::time::Duration;

use crate::method::{Side, Stopwatch, timed};

/// The last stretch before a round is due is waited for awake: a sleep wakes late.
const AWAKE_NS: f64 = 60_000.0;

/// A side that starts `rate` rounds a second; 0 starts one after the other, as [`timed`] does.
///
/// A round's time runs from the moment it was due. A round that had to wait for a slow one before it shows
/// that wait, which a client that measures from its own late start would leave out (coordinated omission).
pub fn paced<'a>(
    rate: u32,
    round: impl FnMut(u64) -> crate::Result<()> + 'a,
) -> Box<dyn Side + 'a> {
    match rate {
        0 => timed(round),
        rate => Box::new(Paced {
            round,
            interval_ns: 1e9 / f64::from(rate),
            number: 0,
        }),
    }
}

struct Paced<F> {
    round: F,
    interval_ns: f64,
    number: u64,
}

impl<F: FnMut(u64) -> crate::Result<()>> Side for Paced<F> {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let clock = watch.clock();
        let start = clock.now();
        for at in 0..rounds {
            let due_ns = f64::from(at) * self.interval_ns;
            loop {
                let early_ns = due_ns - clock.ns(clock.now() - start);
                if early_ns <= 0.0 {
                    break;
                }
                if early_ns > 2.0 * AWAKE_NS {
                    thread::sleep(Duration::from_nanos((early_ns - AWAKE_NS) as u64));
                }
            }
            self.number += 1;
            (self.round)(self.number)?;
            let late_ns = clock.ns(clock.now() - start) - due_ns;
            watch.record_ns(late_ns);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sys::clock::Clock;

    use super::*;

    #[test]
    fn a_round_that_waited_for_a_slow_one_shows_the_wait() {
        let mut side = paced(1000, |number| {
            if number == 1 {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        });
        let mut watch = Stopwatch::new(Clock::calibrate()).expect("memory");
        watch.start();
        side.run(10, &mut watch).expect("no round fails");
        watch.stop();
        let times: Vec<f64> = watch.times_ns().collect();
        // Rounds 2 to 10 were due during the first: at least 10 ms late each.
        assert_eq!(times.len(), 10);
        assert!(times.iter().all(|time| *time > 10e6), "{times:?}");
    }
}
