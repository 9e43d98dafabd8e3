//! Atomics, fences and the channels' lock: `std`'s, or loom's when the wake-up protocols are checked (`cfg(loom)`).
//!
//! Memory shared with another process is never loom's: only the protocols over it are. Under loom a
//! mapping is private memory made of loom's atomics, and a futex is a queue of loom's threads; `shm`'s own
//! code runs unchanged on both.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(crate) mod futex;
