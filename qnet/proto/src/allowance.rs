//! How many of something there may be in a span of time: a bucket that fills by and by.

use crate::Time;

/// Lets through `burst` at once, and one more for each interval that passes.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: u32,
    burst: u32,
    interval_ns: u64,
    /// When the last one was added.
    filled_at: Time,
}

impl Allowance {
    /// `burst` at once, then one for each `interval_ns`, which is not 0.
    pub const fn new(burst: u32, interval_ns: u64) -> Allowance {
        Allowance {
            left: burst,
            burst,
            interval_ns,
            filled_at: Time(0),
        }
    }

    /// Uses one up; false: there is none.
    pub fn take(&mut self, now: Time) -> bool {
        let more = now.since(self.filled_at) / self.interval_ns;
        if more > 0 {
            let more_fit = u32::try_from(more).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more_fit).min(self.burst);
            self.filled_at = self.filled_at.after(more * self.interval_ns);
        }
        let is_left = self.left > 0;
        self.left -= u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let mut allowance = Allowance::new(3, 100);
        let passing = |allowance: &mut Allowance, now: u64| {
            (0..10).filter(|_| allowance.take(Time(now))).count()
        };
        assert_eq!(passing(&mut allowance, 1_000_000), 3);
        assert_eq!(passing(&mut allowance, 1_000_099), 0);
        assert_eq!(passing(&mut allowance, 1_000_100), 1);
        assert_eq!(passing(&mut allowance, 1_000_350), 2);
        assert_eq!(
            passing(&mut allowance, 1_000_400),
            1,
            "no part of one is lost"
        );
        assert_eq!(passing(&mut allowance, u64::MAX), 3);
    }
}
