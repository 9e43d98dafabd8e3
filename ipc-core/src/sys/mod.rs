//! System calls, one kernel object per file. No policy: who waits for what is decided above.

#![allow(unsafe_code, reason = "this is the layer that talks to the kernel")]

pub(crate) mod clock;
pub(crate) mod descriptor;
pub(crate) mod epoll;
#[cfg(feature = "failpoints")]
pub mod failpoint;
#[cfg(not(feature = "failpoints"))]
pub(crate) mod failpoint;
pub(crate) mod file_lock;
pub(crate) mod flag;
pub(crate) mod fork;
pub mod futex;
#[cfg(not(miri))]
pub(crate) mod memfd;
#[cfg(miri)]
#[path = "memfd_miri.rs"]
pub(crate) mod memfd;
pub(crate) mod mutex;
pub(crate) mod own_thread;
pub mod runtime_dir;
pub(crate) mod seqpacket;
pub mod thread;
