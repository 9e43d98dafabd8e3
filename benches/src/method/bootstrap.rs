//! A percentile bootstrap: how far the median could lie elsewhere, had the machine drawn other blocks.

use crate::method::stats::{median, quantile};

/// Resamples drawn; at 2000 the ends of a 95 % interval wobble by well under its width.
const RESAMPLES: usize = 2000;

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median of the observations.
    pub median: f64,
    /// Lower end of the 95 % interval.
    pub lo: f64,
    /// Upper end of the 95 % interval.
    pub hi: f64,
}

/// The median of `observations` with a 95 % percentile-bootstrap interval; `None` of nothing.
///
/// The generator is seeded by a constant: the same observations give the same interval.
pub fn estimate(observations: &[f64]) -> Option<Estimate> {
    let median_seen = median(&mut observations.to_vec())?;
    let mut random = SplitMix(0x5eed);
    let mut drawn = vec![0.0; observations.len()];
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        for slot in &mut drawn {
            *slot = observations[random.below(observations.len())];
        }
        medians.push(median(&mut drawn)?);
    }
    let lo = quantile(&mut medians, 0.025)?;
    let hi = quantile(&mut medians, 0.975)?;
    Some(Estimate {
        median: median_seen,
        lo,
        hi,
    })
}

/// SplitMix64 (Steele, Lea and Flood, 2014): enough for drawing indices.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_observations_leave_no_doubt() {
        let estimate = estimate(&[1.25; 20]).expect("observations");
        assert_eq!(
            (estimate.lo, estimate.median, estimate.hi),
            (1.25, 1.25, 1.25)
        );
    }

    #[test]
    fn the_interval_encloses_the_median_and_lies_within_the_observations() {
        let observations: Vec<f64> = (0..40).map(|n| 1.0 + f64::from(n % 7) / 10.0).collect();
        let estimate = estimate(&observations).expect("observations");
        assert!(estimate.lo <= estimate.median && estimate.median <= estimate.hi);
        assert!(estimate.lo >= 1.0 && estimate.hi <= 1.6);
    }

    #[test]
    fn more_observations_narrow_the_interval() {
        let width = |count: u32| {
            let observations: Vec<f64> = (0..count).map(|n| f64::from(n * 37 % 100)).collect();
            estimate(&observations)
                .map(|estimate| estimate.hi - estimate.lo)
                .expect("observations")
        };
        assert!(width(1000) < width(20));
    }

    #[test]
    fn nothing_has_no_estimate() {
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn draws_stay_below_their_bound_and_reach_every_index() {
        let mut random = SplitMix(1);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[random.below(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
