//! Looking for work before sleeping, for who has a CPU to give.
//!
//! Knows what an arrival looks like in memory, and not what came: neither look makes a system call, nor does
//! ringing a doorbell meanwhile.

use std::time::Duration;

use qnet_proto::Time;

use super::RingLink;
use crate::driver::{LinkError, clock};

/// Looks between two readings of the clock.
const LOOKS: u32 = 32;

impl RingLink {
    /// Looks before every sleep, for so long, whether anything comes; zero, as it is at first, sleeps at once.
    /// The thread takes a CPU of its own meanwhile: where the programs it serves need that CPU, they wait for it.
    pub fn spin_for(&mut self, span: Duration) {
        self.spin = span;
    }

    /// Hands over what is queued, and looks until something is there or `timeout` is over. Answers whether
    /// the thread has something to do: what ended meanwhile has to be armed again, a poke's read above all, before
    /// anybody sleeps.
    pub(super) fn spin(&mut self, now: Time, timeout: Option<Duration>) -> Result<bool, LinkError> {
        let span = timeout.map_or(self.spin, |timeout| timeout.min(self.spin));
        let end = now + span;
        self.nothing_changed = false;
        self.retract();
        self.enter(now, Some(Duration::ZERO))?;
        if self.reap()? {
            return Ok(true);
        }
        loop {
            for _ in 0..LOOKS {
                if !self.has_nothing() || self.has_completions() {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
            if self.bells.are_ready() {
                return Ok(true);
            }
            if clock::now() >= end {
                return Ok(false);
            }
        }
    }

    /// Whether the kernel has completed anything, or would when asked.
    fn has_completions(&mut self) -> bool {
        let submission = self.ring.submission();
        let is_waiting = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        is_waiting || !self.ring.completion().is_empty()
    }
}
