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
