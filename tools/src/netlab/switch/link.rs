//! Frames on their way from one port to another: those held back until others have overtaken them,
//! and those that are delayed.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use super::faults::Fate;

/// A frame held back on a quiet link goes on after this time, overtaken or not.
const HELD_FOR_MAX: Duration = Duration::from_millis(3);

/// A frame and the port it goes to.
pub(super) struct Frame {
    pub(super) to: usize,
    pub(super) bytes: Vec<u8>,
}

/// A frame to be sent later; the greatest is due first.
pub(super) struct Delayed {
    pub(super) due: Instant,
    pub(super) order: u64,
    pub(super) frame: Frame,
}

impl Ord for Delayed {
    fn cmp(&self, other: &Delayed) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Delayed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Delayed) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Delayed {}

/// One direction between two ports.
#[derive(Default)]
pub(super) struct Link {
    count: u64,
    held: Vec<Held>,
}

struct Held {
    until_count: u64,
    due: Instant,
    frame: Frame,
}

impl Link {
    /// Frames that have entered this link.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// When the first held frame must go on, whatever happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.due).min()
    }

    /// A frame enters; what leaves now, in order.
    pub(super) fn pass(&mut self, bytes: &[u8], fate: Fate, to: usize) -> Vec<Frame> {
        let number = self.count;
        self.count += 1;
        let mut leaving = Vec::new();
        if !fate.lost {
            let copies = 1 + usize::from(fate.duplicated);
            let frames = (0..copies).map(|_| Frame {
                to,
                bytes: bytes.to_vec(),
            });
            if fate.overtaken_by == 0 {
                leaving.extend(frames);
            } else {
                let due = Instant::now() + HELD_FOR_MAX;
                let until_count = number + fate.overtaken_by;
                self.held.extend(frames.map(|frame| Held {
                    until_count,
                    due,
                    frame,
                }));
            }
        }
        let overtaken = self.held.extract_if(.., |held| held.until_count <= number);
        leaving.extend(overtaken.map(|held| held.frame));
        leaving
    }

    /// Held frames whose time is up.
    pub(super) fn release_due(&mut self, now: Instant) -> Vec<Frame> {
        self.held
            .extract_if(.., |held| held.due <= now)
            .map(|held| held.frame)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: Fate = Fate {
        lost: false,
        duplicated: false,
        overtaken_by: 0,
    };

    const NOTHING: [u8; 0] = [];

    fn names(frames: Vec<Frame>) -> Vec<u8> {
        frames.into_iter().map(|frame| frame.bytes[0]).collect()
    }

    #[test]
    fn a_held_frame_leaves_behind_those_that_overtook_it() {
        let mut link = Link::default();
        assert_eq!(
            names(link.pass(
                &[0],
                Fate {
                    overtaken_by: 2,
                    ..CLEAN
                },
                1
            )),
            NOTHING
        );
        assert_eq!(names(link.pass(&[1], CLEAN, 1)), [1]);
        assert_eq!(names(link.pass(&[2], CLEAN, 1)), [2, 0]);
        assert!(link.due().is_none());
    }

    #[test]
    fn a_held_frame_of_a_quiet_link_leaves_when_its_time_is_up() {
        let mut link = Link::default();
        link.pass(
            &[0],
            Fate {
                overtaken_by: 4,
                ..CLEAN
            },
            1,
        );
        let due = link.due().expect("a frame is held");
        assert_eq!(names(link.release_due(due - HELD_FOR_MAX)), NOTHING);
        assert_eq!(names(link.release_due(due)), [0]);
    }

    #[test]
    fn lost_frames_are_counted_too_and_doubled_ones_leave_twice() {
        let mut link = Link::default();
        assert_eq!(
            names(link.pass(
                &[0],
                Fate {
                    lost: true,
                    ..CLEAN
                },
                1
            )),
            NOTHING
        );
        assert_eq!(
            names(link.pass(
                &[1],
                Fate {
                    duplicated: true,
                    ..CLEAN
                },
                1
            )),
            [1, 1]
        );
        assert_eq!(link.count(), 2);
    }

    #[test]
    fn the_earliest_delayed_frame_is_the_greatest() {
        let now = Instant::now();
        let delayed = |after: u64, order: u64| Delayed {
            due: now + Duration::from_micros(after),
            order,
            frame: Frame {
                to: 0,
                bytes: Vec::new(),
            },
        };
        assert!(delayed(1, 9) > delayed(2, 1));
        assert!(delayed(1, 1) > delayed(1, 2));
    }
}
