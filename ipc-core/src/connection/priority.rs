//! The priority at which the calling thread sends.

use std::cell::Cell;

use crate::abi::{Priority, limits::PRIORITY_DEFAULT};

thread_local! {
    static PRIORITY: Cell<Priority> = const { Cell::new(PRIORITY_DEFAULT) };
}

/// The priority at which this thread's messages are sent.
#[inline]
pub fn priority() -> Priority {
    PRIORITY.get()
}

/// From now on this thread sends at `priority`, 0..=255; higher is received first (RCV-1). Answers
/// what it was before.
pub fn set_priority(priority: Priority) -> Priority {
    PRIORITY.replace(priority)
}
