//! Sides written as one closure per round.

use crate::method::{Side, Stopwatch};

/// A side that measures: the closure is one round trip, given its running number from 1.
pub fn timed<'a>(round: impl FnMut(u64) -> crate::Result<()> + 'a) -> Box<dyn Side + 'a> {
    Box::new(PerRound::<_, true> { round, number: 0 })
}

/// A side that echoes: the closure is its part of one round trip.
pub fn silent<'a>(round: impl FnMut(u64) -> crate::Result<()> + 'a) -> Box<dyn Side + 'a> {
    Box::new(PerRound::<_, false> { round, number: 0 })
}

struct PerRound<F, const TIMED: bool> {
    round: F,
    number: u64,
}

impl<F: FnMut(u64) -> crate::Result<()>, const TIMED: bool> Side for PerRound<F, TIMED> {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        for _ in 0..rounds {
            self.number += 1;
            (self.round)(self.number)?;
            if TIMED {
                watch.lap();
            }
        }
        Ok(())
    }
}
