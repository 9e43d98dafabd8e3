//! The border between the program and this library.
//!
//! What this library does for a call (messages, allocation, locks) calls the C library in turn, and those
//! calls arrive here again. A thread that is already inside goes straight to the real functions.

use std::cell::Cell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use ipc_core::abi::{Errno, Result, limits::OWN_DESCRIPTORS_FROM};
use ipc_core::file::{heeding_signals, if_served};

thread_local! {
    /// Whether this thread is inside. Needs no destructor, so that it works in every phase of a thread's life.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Programs get the numbers below, lowest first, as if this library had none open.
static DESCRIPTORS: Once = Once::new();

/// A thread's stay inside; while it lasts, every intercepted call is the C library's.
pub(crate) struct Inside(());

impl Inside {
    /// Enters; `None` if the thread is inside already.
    pub(crate) fn enter() -> Option<Inside> {
        let entered = INSIDE
            .try_with(|inside| !inside.replace(true))
            .unwrap_or(false);
        // Lazily: a value made and dropped for a thread inside already would take it outside.
        entered.then(|| Inside(()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.try_with(|inside| inside.set(false)).ok();
    }
}

/// Whether the calling thread is inside.
pub(crate) fn is_inside() -> bool {
    INSIDE.try_with(Cell::get).unwrap_or(false)
}

/// Makes the calling thread stay inside until it ends.
pub(crate) fn stay_inside() {
    INSIDE.try_with(|inside| inside.set(true)).ok();
}

/// Does `work` inside, or answers `None` for the caller to pass the call on: `work` says so, a path in it is not
/// served by anybody, or the thread is inside already. A panic, which is a bug of ours, is EIO to the program.
///
/// errno is as it was, unless the call fails.
pub(crate) fn within<T>(work: impl FnOnce() -> Option<Result<T>>) -> Option<Result<T>> {
    let _inside = Inside::enter()?;
    let errno = errno();
    DESCRIPTORS.call_once(|| ipc_core::keep_descriptors_from(OWN_DESCRIPTORS_FROM));
    // As for files of a disk; what may be waited for long says so by itself.
    let uninterrupted = || heeding_signals(false, || if_served(work).flatten());
    let done = catch_unwind(AssertUnwindSafe(uninterrupted));
    let done = done.unwrap_or(Some(Err(Errno::EIO)));
    set_errno(errno);
    done
}

/// Results as C functions give them: a value, or -1 (or NULL) and errno.
pub(crate) trait FromErrno {
    /// What the function returns when it fails.
    const FAILED: Self;
}

impl FromErrno for c_int {
    const FAILED: c_int = -1;
}

impl FromErrno for isize {
    const FAILED: isize = -1;
}

impl FromErrno for i64 {
    const FAILED: i64 = -1;
}

impl<T> FromErrno for *mut T {
    const FAILED: *mut T = std::ptr::null_mut();
}

/// A result for C.
pub(crate) fn to_c<T: FromErrno>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(errno) => {
            set_errno(errno.0);
            T::FAILED
        }
    }
}

/// The calling thread's errno.
pub(crate) fn errno() -> c_int {
    // SAFETY: the location is valid for the calling thread, always.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's errno.
pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: the location is valid for the calling thread, always.
    unsafe { *libc::__errno_location() = errno };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_inside_passes_calls_on() {
        let outer = within(|| {
            assert!(within(|| Some(Ok(1))).is_none());
            assert!(within(|| Some(Ok(1))).is_none(), "still inside");
            Some(Ok(2))
        });
        assert_eq!(outer, Some(Ok(2)));
        assert_eq!(within(|| Some(Ok(3))), Some(Ok(3)));
    }

    #[test]
    fn a_panic_is_eio_and_errno_survives_success() {
        set_errno(7);
        let done = within(|| {
            set_errno(9);
            Some(Ok(()))
        });
        assert_eq!((done, errno()), (Some(Ok(())), 7));
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let panicked = within::<c_int>(|| panic!("as a test"));
        std::panic::set_hook(hook);
        assert_eq!(to_c(panicked.unwrap()), -1);
        assert_eq!(errno(), libc::EIO);
        assert!(Inside::enter().is_some());
    }
}
