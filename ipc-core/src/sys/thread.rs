//! Threads: ids, and on how many CPUs this one may run.

use std::cell::Cell;

use nix::{sched, unistd::Pid};

use crate::abi::Tid;

/// The calling thread's id; asked of the kernel once per thread.
pub(crate) fn current_tid() -> Tid {
    thread_local! {
        static TID: Cell<i32> = const { Cell::new(0) };
    }
    TID.with(|tid| {
        if tid.get() == 0 {
            tid.set(nix::unistd::gettid().as_raw());
        }
        Tid(tid.get())
    })
}

/// CPUs that the calling thread may run on; 1 when the kernel does not say.
pub(crate) fn allowed_cpus() -> usize {
    let Ok(set) = sched::sched_getaffinity(Pid::from_raw(0)) else {
        return 1;
    };
    (0..sched::CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .count()
        .max(1)
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
