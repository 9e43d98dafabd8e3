//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks one of `std`'s mutexes, under loom too. A panic under a lock is a broken invariant of ours, or comes from code of
/// the program's that runs between two changes; what the lock protects is the best there is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
