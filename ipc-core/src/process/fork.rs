//! Forks: whether this is still the process that made a thing.
//!
//! A child inherits descriptors but neither regions nor the monitor thread, so nothing that was made
//! before the fork works in it; it must find that out without touching memory that is not there.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys;

static FORKS: AtomicU32 = AtomicU32::new(0);

/// The life of a process from one fork to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life(u32);

impl Life {
    /// The current life; from the first call on, forks are noticed.
    pub(crate) fn current() -> Life {
        static NOTICED: std::sync::Once = std::sync::Once::new();
        NOTICED.call_once(|| sys::thread::at_fork_in_child(forked));
        Life(FORKS.load(Ordering::Relaxed))
    }

    /// Whether no fork lies between.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.0
    }
}

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
