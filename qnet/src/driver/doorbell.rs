//! What wakes the network-handler thread apart from frames.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A futex of 32 bits, shared between processes (FUTEX2_SIZE_U32).
pub(super) const FUTEX_SIZE_U32: u32 = 2;
/// Who waits with this is woken whatever the waker's mask is.
pub(super) const MATCH_ANY: u64 = u32::MAX as u64;

/// A futex word in somebody's memory, and the value it had when there was nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Address of the word. The kernel reads it when the sleep begins, never later.
    pub address: *const u32,
    /// The sleep is right only while the word holds this.
    pub value: u32,
    /// Tells it from a word of another doorbell that was at this address before and is no longer mapped.
    pub serial: u64,
}

/// Something that rings by changing a futex word and waking its sleepers.
pub trait Doorbell {
    /// Announces that the thread is about to sleep and adds the words to sleep on.
    ///
    /// Answers `false` when there is something to do already: then the thread does not sleep.
    fn announce(&self, words: &mut Vec<Word>) -> bool;

    /// The thread is awake: ringing needs no system call until the next announcement.
    fn retract(&self);

    /// Whether there is something to do; nothing is announced, so that ringing stays a store.
    fn is_ready(&self) -> bool;
}

/// Wakes the network-handler thread from any thread of the process.
///
/// Whoever pokes has put what is to be done somewhere before; the thread looks there after every
/// [`crate::driver::Link::wait`].
#[derive(Clone, Debug)]
pub struct Poke(Arc<PokeState>);

#[derive(Debug)]
struct PokeState {
    event: EventFd,
    pending: AtomicBool,
}

impl Poke {
    /// Makes one; the ring is given a clone of it.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn new() -> io::Result<Poke> {
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?;
        Ok(Poke(Arc::new(PokeState {
            event,
            pending: AtomicBool::new(false),
        })))
    }

    /// Wakes the thread; pokes that it has not noticed yet cost nothing.
    pub fn poke(&self) {
        // Release: what is to be done was put there before. The thread acquires it in `notice`.
        if !self.0.pending.swap(true, Ordering::AcqRel) {
            // Blocks or fails only past 2^64 - 2 unread pokes; there is at most one.
            let _ = self.0.event.write(1);
        }
    }

    /// The thread's side: the event was read; what was put before a poke is visible from here on.
    pub(super) fn notice(&self) {
        self.0.pending.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Poke {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}
