//! Many clients as threads of one measuring process.

use std::thread;

use crate::method::{Side, Stopwatch};

/// A side of several members, each of which does every round; a round of the arm is one of each member.
pub struct Crowd<F> {
    members: Vec<F>,
    number: u64,
}

impl<F: FnMut(u64) -> crate::Result<()> + Send> Crowd<F> {
    /// Members by what each does in a round, given the round's number from 1.
    pub fn new(members: Vec<F>) -> Crowd<F> {
        Crowd { members, number: 0 }
    }
}

impl<F: FnMut(u64) -> crate::Result<()> + Send> Side for Crowd<F> {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let (clock, first) = (watch.clock(), self.number + 1);
        self.number += u64::from(rounds);
        let last = self.number;
        let laps = |member: &mut F| -> crate::Result<Vec<u64>> {
            let mut laps = Vec::with_capacity(rounds as usize);
            let mut begin = clock.now();
            for number in first..=last {
                member(number)?;
                let end = clock.now();
                laps.push(end - begin);
                begin = end;
            }
            Ok(laps)
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = self
                .members
                .iter_mut()
                .map(|member| scope.spawn(move || laps(member)))
                .collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for outcome in outcomes {
            let laps = outcome.map_err(|_| "a client's thread panicked")??;
            laps.into_iter().for_each(|ticks| watch.record(ticks));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::sys::clock::Clock;

    use super::*;

    #[test]
    fn every_member_does_every_round_and_numbers_go_on() {
        let sum = AtomicU64::new(0);
        let member = |number| {
            sum.fetch_add(number, Ordering::Relaxed);
            Ok(())
        };
        let mut crowd = Crowd::new(vec![member; 3]);
        let mut watch = Stopwatch::new(Clock::calibrate()).expect("memory");
        watch.start();
        crowd.run(2, &mut watch).expect("no member fails");
        crowd.run(1, &mut watch).expect("no member fails");
        watch.stop();
        assert_eq!(sum.into_inner(), 3 * (1 + 2 + 3));
        assert_eq!(watch.times_ns().count(), 9);
    }
}
