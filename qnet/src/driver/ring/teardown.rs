//! The end of a link: every operation is ended first, or the memory it refers to is leaked.
//!
//! Knows of each part only whether the kernel has something of it, and that it can be leaked.

use std::time::Duration;

use io_uring::types;

use super::RingLink;
use crate::limits::CANCEL_ROUNDS_MAX;

/// How long one round waits for a completion.
const PATIENCE: Duration = Duration::from_millis(100);

impl Drop for RingLink {
    fn drop(&mut self) {
        if !self.quiesce() {
            // Closing the ring does not wait for its operations: the memory must outlive them.
            tracing::warn!("io_uring operations did not end: their buffers are leaked");
            self.reception.leak();
            self.transmission.leak();
            self.poke.leak();
            self.carriers.leak();
            // Not the alarms' spans: the kernel copied each with its entry, or never reads it any more. Nor the
            // doorbells' words: the kernel read them when the waits began.
        }
    }
}

impl RingLink {
    /// Ends every operation the kernel has; `false` if some did not end.
    pub(super) fn quiesce(&mut self) -> bool {
        self.reception.close();
        // Whether they leave or not: afterwards nobody has them.
        let _ = self.send_gathered();
        for _ in 0..CANCEL_ROUNDS_MAX {
            if self.ring.submit().is_err() || self.reap().is_err() {
                return false;
            }
            if self.is_quiet() {
                return true;
            }
            let patience = types::Timespec::from(PATIENCE);
            // What it misses was completing already; the loop looks again.
            let _ = self
                .ring
                .submitter()
                .register_sync_cancel(Some(patience), types::CancelBuilder::any());
            let args = types::SubmitArgs::new().timespec(&patience);
            let _ = self.ring.submitter().submit_with_args(1, &args);
        }
        false
    }

    fn is_quiet(&self) -> bool {
        let interrupts = self.poke.is_armed()
            || self.bells.are_armed()
            || self.carriers.is_armed()
            || self.alarms.are_running();
        !interrupts && !self.reception.is_armed() && self.transmission.in_flight() == 0
    }
}
