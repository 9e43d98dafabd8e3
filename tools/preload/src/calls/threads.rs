//! Threads that this library starts, such as the one that watches connections, are inside for good: a path that
//! they open is never ours, and asking for it could wait for that very thread.

use std::ffi::{c_int, c_void};

use crate::{real, shield};

/// A thread's first function.
type Start = extern "C" fn(*mut c_void) -> *mut c_void;

struct Job {
    start: Start,
    argument: *mut c_void,
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    if !shield::is_inside() {
        // SAFETY: the caller's promise is the callee's.
        return unsafe { real::pthread_create(thread, attributes, start, argument) };
    }
    let job = Box::into_raw(Box::new(Job { start, argument }));
    // SAFETY: as above; `run_inside` takes the box over.
    let failed = unsafe { real::pthread_create(thread, attributes, run_inside, job.cast()) };
    if failed != 0 {
        // SAFETY: no thread has taken it over.
        drop(unsafe { Box::from_raw(job) });
    }
    failed
}

extern "C" fn run_inside(job: *mut c_void) -> *mut c_void {
    shield::stay_inside();
    // SAFETY: `pthread_create` above made it and gives it to one thread.
    let Job { start, argument } = *unsafe { Box::from_raw(job.cast::<Job>()) };
    start(argument)
}
