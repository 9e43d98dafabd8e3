//! Which frames suffer what: a pure function of seed, link and count, so that the same seed does the
//! same to the same frames, however threads are scheduled.
#![forbid(unsafe_code)]

use crate::netlab::protocol::Faults;

/// What happens to one frame on its way from one port to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// It does not arrive.
    pub lost: bool,
    /// It arrives twice.
    pub duplicated: bool,
    /// It arrives after so many later frames of the same link (0: in order).
    pub overtaken_by: u64,
}

/// Later frames that a reordered frame waits for, at most.
pub(super) const OVERTAKEN_MAX: u64 = 4;

/// The fate of frame number `count` from port `from` to port `to`.
pub(super) fn fate(faults: &Faults, from: usize, to: usize, count: u64) -> Fate {
    let link = (from as u64) << 32 | to as u64;
    let draw = |purpose: u64| mix(mix(mix(faults.seed ^ purpose) ^ link) ^ count);
    let lost = happens(draw(1), faults.loss);
    let reordered = !lost && happens(draw(3), faults.reorder);
    Fate {
        lost,
        duplicated: !lost && happens(draw(2), faults.dup),
        overtaken_by: if reordered {
            1 + draw(4) % OVERTAKEN_MAX
        } else {
            0
        },
    }
}

fn happens(draw: u64, percent: f64) -> bool {
    (draw >> 11) as f64 / (1u64 << 53) as f64 * 100.0 < percent
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: u64 = 100_000;

    fn faults(seed: u64) -> Faults {
        Faults {
            loss: 5.0,
            dup: 2.0,
            reorder: 10.0,
            delay_us: 0,
            seed,
        }
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        for count in 0..1000 {
            assert_eq!(fate(&faults(7), 0, 1, count), fate(&faults(7), 0, 1, count));
        }
    }

    #[test]
    fn seeds_and_directions_differ() {
        let lost = |seed, from, to| -> Vec<u64> {
            (0..1000)
                .filter(|&count| fate(&faults(seed), from, to, count).lost)
                .collect()
        };
        assert_ne!(lost(1, 0, 1), lost(2, 0, 1));
        assert_ne!(lost(1, 0, 1), lost(1, 1, 0));
    }

    #[test]
    fn shares_are_as_asked_for() {
        let faults = faults(3);
        let share = |what: fn(&Fate) -> bool| {
            let hits = (0..FRAMES)
                .filter(|&count| what(&fate(&faults, 0, 1, count)))
                .count();
            hits as f64 / FRAMES as f64 * 100.0
        };
        assert!((4.5..5.5).contains(&share(|fate| fate.lost)));
        assert!((1.6..2.2).contains(&share(|fate| fate.duplicated)));
        assert!((9.0..10.0).contains(&share(|fate| fate.overtaken_by > 0)));
        assert_eq!(share(|fate| fate.overtaken_by > OVERTAKEN_MAX), 0.0);
    }

    #[test]
    fn nothing_and_everything_can_be_asked_for() {
        let none = Faults::default();
        let all = Faults {
            loss: 100.0,
            ..Faults::default()
        };
        for count in 0..1000 {
            assert!(fate(&all, 0, 1, count).lost);
            let clean = Fate {
                lost: false,
                duplicated: false,
                overtaken_by: 0,
            };
            assert_eq!(fate(&none, 0, 1, count), clean);
        }
    }
}
