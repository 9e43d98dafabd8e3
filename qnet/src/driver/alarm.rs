//! The ring's timers: started for a deadline, and left alone while deadlines move later.
//!
//! Every frame sent moves the next deadline on. A timer of the kernel for each sleep would be set and taken
//! back each time, and on a virtual machine either is an exit to the hypervisor, at the price of a whole
//! call. So a sleep ends at the earliest deadline that was asked for since the timers last ran out: once in a
//! probe's time, not per frame.
//!
//! Deadlines also move earlier: an acknowledgement is due before the probe that was waited for. So a timer of
//! the usual length is set to run out before its deadline, which covers those that come a little earlier, and
//! a deadline that comes much earlier starts a timer of its own beside the one that runs. That is the shorter
//! one by a quarter at least, so that there are never many.

use std::{ops::RangeInclusive, time::Duration};

use io_uring::{opcode, squeue, types};
use qnet_proto::Time;

/// The timers that are set to run out early: shorter ones gain nothing, longer ones belong to an idle node, which
/// is not to be woken in vain.
const EARLY: RangeInclusive<Duration> = Duration::from_micros(400)..=Duration::from_millis(20);

/// Timers that run at one time.
pub(super) const ALARMS: usize = 4;

/// When the timers that the kernel has will run out.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    due: [Option<Time>; ALARMS],
    /// Read by the kernel while the entries are submitted; boxed, as the ring may move before that.
    spans: Box<[types::Timespec; ALARMS]>,
}

impl Alarms {
    /// Whether a sleep of `timeout` from `now` is ended in time by a timer that runs.
    pub(super) fn cover(&self, now: Time, timeout: Duration) -> bool {
        let end = now + timeout;
        self.due.iter().flatten().any(|due| *due <= end)
    }

    /// Whether the kernel has a timer.
    pub(super) fn are_running(&self) -> bool {
        self.due.iter().any(Option::is_some)
    }

    /// A timer that ends a sleep of `timeout` from `now` in time, by its number, and the entry that starts it;
    /// `None` while all are running.
    pub(super) fn start(&mut self, now: Time, timeout: Duration) -> Option<(u8, squeue::Entry)> {
        let at = self.due.iter().position(Option::is_none)?;
        let timeout = match EARLY.contains(&timeout) {
            true => timeout * 3 / 4,
            false => timeout,
        };
        self.due[at] = Some(now + timeout);
        self.spans[at] = types::Timespec::from(timeout);
        let entry = opcode::Timeout::new(&raw const self.spans[at]).build();
        Some((at as u8, entry))
    }

    /// The timer with this number ran out or was taken back.
    pub(super) fn ended(&mut self, number: u8) {
        self.due[usize::from(number)] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_later_deadline_is_covered_and_an_earlier_one_is_not() {
        let (mut alarms, now) = (Alarms::default(), Time(7));
        assert!(!alarms.cover(now, 5 * MS));
        let (first, _) = alarms.start(now, 5 * MS).unwrap();
        assert!(alarms.cover(now, 5 * MS) && alarms.cover(now, 4 * MS));
        assert!(!alarms.cover(now, MS));
        alarms.ended(first);
        assert!(!alarms.are_running() && !alarms.cover(now, 5 * MS));
    }

    #[test]
    fn an_earlier_deadline_gets_a_timer_of_its_own_and_leaves_the_other() {
        let (mut alarms, now) = (Alarms::default(), Time(7));
        let (long, _) = alarms.start(now, 5 * MS).unwrap();
        let (short, _) = alarms.start(now, MS).unwrap();
        assert_ne!(long, short);
        assert!(alarms.cover(now, MS));
        alarms.ended(short);
        assert!(!alarms.cover(now, MS) && alarms.cover(now, 5 * MS));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let (mut alarms, now) = (Alarms::default(), Time(7));
        for _ in 0..ALARMS {
            assert!(alarms.start(now, MS).is_some());
        }
        assert!(alarms.start(now, MS).is_none());
        alarms.ended(2);
        assert_eq!(alarms.start(now, MS).map(|(number, _)| number), Some(2));
    }
}
