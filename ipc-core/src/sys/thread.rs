//! Threads and CPUs: ids, counts, forks.

use std::cell::Cell;

use nix::unistd::{SysconfVar, sysconf};

use crate::{
    abi::{Errno, Result, Tid},
    sys::fork::Lasting,
};

thread_local! {
    static TID: Cell<i32> = const { Cell::new(0) };
    static END: End = const { End(Cell::new(0)) };
}

/// What is to be done when a thread ends that used this library.
static AT_END: Lasting<fn(Tid)> = Lasting::new();

/// Dropped when its thread ends, whose id it keeps.
struct End(Cell<i32>);

impl Drop for End {
    fn drop(&mut self) {
        if let Some(act) = AT_END.get()
            && self.0.get() != 0
        {
            act(Tid(self.0.get()));
        }
    }
}

/// Has `act` called at the end of each thread that asked for its [`current_tid`], before or after this.
pub(crate) fn at_thread_end(act: fn(Tid)) {
    // There is one such function, so a second call changes nothing.
    AT_END.get_or_make(|_| true, || act);
}

/// The calling thread's id; asked of the kernel once per thread.
#[inline]
pub(crate) fn current_tid() -> Tid {
    if TID.get() == 0 {
        TID.set(nix::unistd::gettid().as_raw());
        // Fails in a thread that is ending, which nobody needs to be told of twice.
        let _ = END.try_with(|end| end.0.set(TID.get()));
    }
    Tid(TID.get())
}

/// From now on the calling thread's messages carry `tid` as their sender's: for a thread that speaks for
/// threads elsewhere ([`crate::SpeaksFor`]). A server takes it for what it is, the sender's word (RCV-6).
pub fn speak_as(tid: Tid) {
    TID.set(tid.0);
}

/// CPUs of the machine that run threads; 1 when the system does not say. What this thread is pinned to
/// does not matter: the other side may be pinned elsewhere.
pub(crate) fn online_cpus() -> usize {
    let count = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    count
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(1)
}

/// Lets other threads of this CPU run that are ready to; returns at once if there are none.
pub(crate) fn give_way() {
    // SAFETY: the call takes no memory and changes none.
    let answer = unsafe { libc::sched_yield() };
    debug_assert_eq!(answer, 0, "invariant: sched_yield always succeeds");
}

/// Has `act` run in every child of a fork, before the fork returns there.
pub(crate) fn at_fork_in_child(act: extern "C" fn()) {
    // SAFETY: the function lives as long as the program and takes nothing; what it may do between fork
    // and exec is its author's concern, and ours increments one atomic.
    let answer = unsafe { libc::pthread_atfork(None, None, Some(act)) };
    assert!(
        answer == 0,
        "invariant: there is memory for one fork handler"
    );
}

/// The calling thread's real-time priority, 1..=99; `None` under an ordinary policy.
pub(crate) fn real_time_priority() -> Option<i32> {
    // SAFETY: 0 is the calling thread; the call takes no memory.
    let policy = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
    if policy != libc::SCHED_FIFO && policy != libc::SCHED_RR {
        return None;
    }
    let mut param = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and `param` is a live structure of the type that the call fills.
    let answer = unsafe { libc::sched_getparam(0, &raw mut param) };
    (answer == 0).then_some(param.sched_priority)
}

/// Gives the calling thread another priority, 1..=99, under the real-time policy that it has.
///
/// # Errors
/// `EPERM` the limit `RLIMIT_RTPRIO` is lower and the process has no `CAP_SYS_NICE`; `EINVAL` the thread
/// does not run under a real-time policy.
pub(crate) fn set_real_time_priority(priority: i32) -> Result<()> {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: 0 is the calling thread, and `param` is a live structure that the call only reads.
    match unsafe { libc::sched_setparam(0, &raw const param) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}
