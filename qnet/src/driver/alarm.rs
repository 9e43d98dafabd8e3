//! The ring's one timer: armed for a deadline, and left alone while deadlines move later.
//!
//! Every frame sent moves the next deadline on. A timer of the kernel for each sleep would be set and taken
//! back each time, and on a virtual machine either is an exit to the hypervisor. So the sleep ends at the
//! earliest deadline that was asked for since the timer last ran out: once in a probe's time, not per frame.
//!
//! Deadlines also move earlier by a little: an acknowledgement may be due before the probe that was waited for.
//! So a timer of the usual length is set to run out before its deadline, and most later sleeps are covered.

use std::{ops::RangeInclusive, time::Duration};

use io_uring::{opcode, squeue, types};
use qnet_proto::Time;

/// The timers that are set to run out early: shorter ones gain nothing, longer ones belong to an idle node, which
/// is not to be woken in vain.
const EARLY: RangeInclusive<Duration> = Duration::from_micros(400)..=Duration::from_millis(20);

/// When the timer that the kernel has will run out.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    due: Option<Time>,
    /// Read by the kernel while the entry is submitted; boxed, as the ring may move before that.
    span: Box<types::Timespec>,
}

impl Alarm {
    /// Whether a sleep of `timeout` from `now` is ended in time by the timer that runs.
    pub(super) fn covers(&self, now: Time, timeout: Duration) -> bool {
        self.due.is_some_and(|due| due <= now + timeout)
    }

    /// Whether the kernel has a timer.
    pub(super) fn is_running(&self) -> bool {
        self.due.is_some()
    }

    /// The entry that starts the timer; none may be running.
    pub(super) fn start(&mut self, now: Time, timeout: Duration) -> squeue::Entry {
        assert!(self.due.is_none(), "invariant: one timer at a time");
        let timeout = match EARLY.contains(&timeout) {
            true => timeout * 3 / 4,
            false => timeout,
        };
        self.due = Some(now + timeout);
        *self.span = types::Timespec::from(timeout);
        opcode::Timeout::new(&raw const *self.span).build()
    }

    /// The timer ran out or was taken back.
    pub(super) fn ended(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_is_covered_and_an_earlier_one_is_not() {
        let (mut alarm, now) = (Alarm::default(), Time(7));
        let (short, long) = (Duration::from_millis(1), Duration::from_millis(5));
        let sooner = Duration::from_millis(4);
        assert!(!alarm.covers(now, long));
        let _ = alarm.start(now, long);
        assert!(alarm.covers(now, long) && alarm.covers(now, sooner));
        assert!(!alarm.covers(now, short));
        alarm.ended();
        assert!(!alarm.is_running() && !alarm.covers(now, long));
    }
}
