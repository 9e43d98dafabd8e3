//! When the network-handler thread gets the processor, among threads that compute.
//!
//! The thread works in short rounds and sleeps. Among ordinary threads the kernel (EEVDF, Linux 6.12 and later)
//! prefers for the next turn who asks for less of it: a thread with a short slice gets the processor within
//! that time, where it would otherwise wait until whoever computes has used up a whole slice of milliseconds.
//! That needs no privilege, and gets it no more of the processor than others.
//!
//! It is not enough for a thread that needs more than its equal share for a moment, as for a long message: then it is
//! not preferred any more, and whoever computes keeps the processor until the next tick of the clock, for up to 4 ms. So
//! it asks for a larger share besides, where it may. All remote calls of the node wait for it, as for no program.

use std::{io, time::Duration};

/// Asks for turns of `slice` for the calling thread; the kernel keeps it between 0.1 and 100 ms. Kernels before 6.12
/// ignore it. A thread with the usual nice value, 0, asks for `nice` besides, which takes a privilege
/// (`CAP_SYS_NICE`) or a limit (`RLIMIT_NICE`) and is left out without; one that was started with another keeps it.
/// Threads that it starts later inherit both.
///
/// # Errors
/// What the kernel answers; `EINVAL` where a thread of a real-time policy asks.
pub fn ask_for_turns(slice: Duration, nice: i32) -> io::Result<()> {
    let mut attr = attributes()?;
    if attr.sched_policy != libc::SCHED_OTHER as u32 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    attr.sched_runtime = slice.as_nanos() as u64;
    if attr.sched_nice == 0 {
        let wish = libc::sched_attr {
            sched_nice: nice,
            ..attr
        };
        if set(&wish).is_ok() {
            return Ok(());
        }
    }
    set(&attr)
}

fn attributes() -> io::Result<libc::sched_attr> {
    let len = size_of::<libc::sched_attr>();
    // SAFETY: all fields are integers, for which zero is a value.
    let mut attr: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `len` bytes to `attr`, which has as many; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, len, 0) } {
        0 => {
            attr.size = len as u32;
            Ok(attr)
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(attr: &libc::sched_attr) -> io::Result<()> {
    // SAFETY: the kernel reads `attr.size` bytes of `attr`, which has as many; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, attr, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SLICE: Duration = Duration::from_micros(100);
    const NICE: i32 = -2;

    /// Nice value and policy of the calling thread.
    fn standing() -> (i32, u32) {
        let attr = attributes().expect("a thread may ask about itself");
        (attr.sched_nice, attr.sched_policy)
    }

    /// In a thread of its own, which may make its nice value larger without a privilege.
    fn with_nice<T: Send>(nice: i32, act: impl FnOnce() -> T + Send) -> T {
        let begin = move || {
            let attr = libc::sched_attr {
                sched_nice: nice,
                ..attributes().expect("a thread may ask about itself")
            };
            set(&attr).expect("the kernel lets a thread be nicer");
            act()
        };
        thread::scope(|scope| scope.spawn(begin).join().expect("no panic"))
    }

    #[test]
    fn whoever_was_started_with_a_nice_value_keeps_it_and_gets_the_slice() {
        let (usual, policy) = standing();
        let nicer = usual.max(0) + 1;
        with_nice(nicer, || {
            ask_for_turns(SLICE, NICE).expect("an ordinary thread may ask");
            assert_eq!(standing(), (nicer, policy));
        });
    }

    #[test]
    fn a_larger_share_is_got_or_left_out() {
        let (usual, policy) = standing();
        let asked = thread::spawn(|| {
            ask_for_turns(SLICE, NICE).expect("an ordinary thread may ask");
            standing()
        });
        let (nice, after) = asked.join().expect("no panic");
        match usual {
            0 => assert!([0, NICE].contains(&nice), "{nice}"),
            _ => assert_eq!(nice, usual),
        }
        assert_eq!(after, policy);
    }
}
