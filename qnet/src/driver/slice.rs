//! How long the scheduler lets the network-handler thread run at a time.
//!
//! The thread works in short rounds and sleeps. Among ordinary threads the kernel (EEVDF, Linux 6.12 and later)
//! prefers for the next turn who asks for less of it: a thread with a short slice gets the processor within
//! that time, where it would otherwise wait until whoever computes has used up a whole slice of milliseconds. It
//! gets no more of the processor than others, and needs no privilege.

use std::{io, time::Duration};

/// Asks for turns of `slice` for the calling thread; the kernel keeps it between 0.1 and 100 ms. Threads that it
/// starts later inherit it. Kernels before 6.12 ignore it.
///
/// # Errors
/// What the kernel answers; `EINVAL` where a thread of a real-time policy asks.
pub fn ask_for_slice(slice: Duration) -> io::Result<()> {
    let len = size_of::<libc::sched_attr>();
    // SAFETY: all fields are integers, for which zero is a value.
    let mut attr: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `len` bytes to `attr`, which has as many; 0 is the calling thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, len, 0) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    if attr.sched_policy != libc::SCHED_OTHER as u32 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    attr.size = len as u32;
    attr.sched_runtime = slice.as_nanos() as u64;
    // SAFETY: the kernel reads `attr.size` bytes of `attr`, which has as many; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice_of_thread() -> i32 {
        // SAFETY: no memory is passed; 0 is the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn a_shorter_slice_changes_neither_policy_nor_nice_value() {
        let before = nice_of_thread();
        ask_for_slice(Duration::from_micros(100)).expect("an ordinary thread may ask");
        assert_eq!(nice_of_thread(), before);
        // SAFETY: no memory is passed; 0 is the calling thread.
        let policy = unsafe { libc::sched_getscheduler(0) };
        assert_eq!(policy, libc::SCHED_OTHER);
    }
}
