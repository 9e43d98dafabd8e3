//! Threads and CPUs: ids, counts, forks.

use std::cell::Cell;

use nix::unistd::{SysconfVar, sysconf};

use crate::abi::Tid;

thread_local! {
    static TID: Cell<i32> = const { Cell::new(0) };
}

/// The calling thread's id; asked of the kernel once per thread.
pub(crate) fn current_tid() -> Tid {
    if TID.get() == 0 {
        TID.set(nix::unistd::gettid().as_raw());
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
