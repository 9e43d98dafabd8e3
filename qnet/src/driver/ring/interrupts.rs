//! What ends a sleep besides a frame: the poke of a thread of this process, and the doorbells' futex words.
//!
//! Knows neither what was rung for nor how long the sleep may be.

use std::{cell::UnsafeCell, mem};

use io_uring::{IoUring, opcode};

use super::{
    operation::{self, Operation},
    setup::POKE_FILE,
};
use crate::driver::{LinkError, Poke, bells::Bells};

/// Bytes of an eventfd's count.
const COUNT_LEN: u32 = 8;

/// The read of the poke's eventfd, which completes when somebody poked.
pub(super) struct PokeRead {
    poke: Poke,
    /// Where the kernel puts the count, which nobody looks at.
    count: Box<UnsafeCell<u64>>,
    /// The kernel has the read.
    armed: bool,
}

impl PokeRead {
    /// None is armed yet.
    pub(super) fn new(poke: Poke) -> PokeRead {
        PokeRead {
            poke,
            count: Box::default(),
            armed: false,
        }
    }

    /// Has a read with the kernel.
    ///
    /// # Errors
    /// The ring is broken.
    pub(super) fn arm(&mut self, ring: &mut IoUring) -> Result<(), LinkError> {
        if self.armed {
            return Ok(());
        }
        let read = opcode::Read::new(POKE_FILE, self.count.get().cast(), COUNT_LEN).build();
        // SAFETY: the eight bytes are boxed, so that they stay where they are, and touched by nobody else;
        // the link frees them only when its `drop` has seen the operation end, and else leaks them.
        unsafe { operation::push(ring, Operation::Poke, read)? };
        self.armed = true;
        Ok(())
    }

    /// The read has completed.
    pub(super) fn completed(&mut self) {
        self.armed = false;
        self.poke.notice();
    }

    /// Whether the kernel has the read.
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Gives the count up for good, because the kernel may still write it.
    pub(super) fn leak(&mut self) {
        mem::forget(mem::take(&mut self.count));
    }
}

/// The wait on the doorbells' words, which completes when one of them rings.
///
/// It is left with the kernel from sleep to sleep, and cancelled only when the words are others.
pub(super) struct BellWait {
    bells: Bells,
    /// The kernel has the wait.
    armed: bool,
    /// The kernel has the wait's cancellation.
    cancelling: bool,
}

impl BellWait {
    /// None is armed yet.
    pub(super) fn new(bells: Bells) -> BellWait {
        BellWait {
            bells,
            armed: false,
            cancelling: false,
        }
    }

    /// Announces the sleep to the doorbells and has a wait with the kernel; `false` if one of them has rung
    /// already.
    ///
    /// # Errors
    /// The ring is broken.
    pub(super) fn arm(&mut self, ring: &mut IoUring) -> Result<bool, LinkError> {
        if !self.bells.announce() {
            return Ok(false);
        }
        if !self.armed {
            self.wait(ring)?;
        } else if self.bells.are_others() && !self.cancelling {
            // The old wait's end wakes the thread, which then waits for the new words.
            self.cancel(ring)?;
        }
        Ok(true)
    }

    fn wait(&mut self, ring: &mut IoUring) -> Result<(), LinkError> {
        let Some((waiters, count)) = self.bells.take_waiters() else {
            return Ok(());
        };
        let wait = opcode::FutexWaitV::new(waiters, count).build();
        // SAFETY: the array stays in `self.bells` untouched until `completed` calls `finished`: waiters are
        // taken only while no wait is armed. The link frees the array only when its `drop` has seen the
        // wait end, and else leaks it. The words are only read by the kernel, which checks their addresses.
        unsafe { operation::push(ring, Operation::Bells, wait)? };
        self.armed = true;
        Ok(())
    }

    fn cancel(&mut self, ring: &mut IoUring) -> Result<(), LinkError> {
        let cancel = opcode::AsyncCancel::new(Operation::Bells.user_data()).build();
        // SAFETY: the entry points to no memory.
        unsafe { operation::push(ring, Operation::Cancel, cancel)? };
        self.cancelling = true;
        Ok(())
    }

    /// Whether there is something to do for a bell, without announcing anything.
    pub(super) fn are_ready(&self) -> bool {
        self.bells.are_ready()
    }

    /// Whether a bell that rings during a sleep brings a completion of this wait; else somebody else is told.
    pub(super) fn tells_of_rings(&self) -> bool {
        !self.bells.has_relay()
    }

    /// The thread is awake: ringing needs no system call until the next announcement.
    pub(super) fn retract(&self) {
        self.bells.retract();
    }

    /// The wait has completed: a bell has rung, its words were others already, or it was cancelled.
    pub(super) fn completed(&mut self) {
        self.armed = false;
        self.bells.finished();
    }

    /// The cancellation has completed, whether it found the wait or not.
    pub(super) fn cancelled(&mut self) {
        self.cancelling = false;
    }

    /// Whether the kernel has the wait or its cancellation.
    pub(super) fn is_armed(&self) -> bool {
        self.armed || self.cancelling
    }

    /// Gives up the array that the kernel may still read.
    pub(super) fn leak(&mut self) {
        self.bells.leak();
    }
}
