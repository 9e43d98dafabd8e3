//! What ends a sleep besides a frame: the poke of a thread of this process, and the doorbells' futex words.
//!
//! Knows neither what was rung for nor how long the sleep may be.

use std::{cell::UnsafeCell, mem};

use io_uring::{IoUring, opcode};

use super::{
    operation::{self, Operation},
    setup::POKE_FILE,
};
use crate::driver::{
    LinkError, Poke, Word,
    bells::Bells,
    doorbell::{FUTEX_SIZE_U32, MATCH_ANY},
};

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

/// The waits on the doorbells' words, one for each, which complete when one of them rings.
///
/// Each is left with the kernel from sleep to sleep, and cancelled only when its word is none of the doorbells'
/// any more. What rings costs a new wait on its own word alone.
pub(super) struct BellWaits {
    bells: Bells,
    /// By their numbers; the place of one that has ended is used again.
    waits: Vec<Option<Wait>>,
    /// Cancellations that the kernel has.
    cancelling: usize,
    /// Waits that were ever begun.
    #[cfg(test)]
    begun: u64,
}

/// A wait that the kernel has.
struct Wait {
    /// The word's.
    address: *const u32,
    /// The word's. What is mapped at the address by now may be another doorbell's: the kernel waits for the old one.
    serial: u64,
    /// Its cancellation is on the way.
    is_leaving: bool,
}

impl Wait {
    fn is_on(&self, word: &Word) -> bool {
        self.address == word.address && self.serial == word.serial
    }
}

impl BellWaits {
    /// None is armed yet.
    pub(super) fn new(bells: Bells) -> BellWaits {
        BellWaits {
            bells,
            waits: Vec::new(),
            cancelling: 0,
            #[cfg(test)]
            begun: 0,
        }
    }

    /// Announces the sleep to the doorbells and has a wait on each of their words with the kernel; `false` if one
    /// of them has rung already.
    ///
    /// # Errors
    /// The ring is broken.
    pub(super) fn arm(&mut self, ring: &mut IoUring) -> Result<bool, LinkError> {
        if !self.bells.announce() {
            return Ok(false);
        }
        for at in 0..self.bells.to_watch().len() {
            self.watch(ring, at)?;
        }
        self.leave_others(ring)?;
        Ok(true)
    }

    /// Has a wait on the word announced at this place.
    fn watch(&mut self, ring: &mut IoUring, at: usize) -> Result<(), LinkError> {
        let word = self.bells.to_watch()[at];
        let waits_for = |wait: &Option<Wait>| {
            let wait = wait.as_ref();
            wait.is_some_and(|wait| wait.is_on(&word) && !wait.is_leaving)
        };
        // Words keep their places, most often.
        if self.waits.get(at).is_some_and(waits_for) || self.waits.iter().any(waits_for) {
            return Ok(());
        }
        let free = self.waits.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.waits.push(None);
            self.waits.len() - 1
        });
        let value = u64::from(word.value);
        let wait = opcode::FutexWait::new(word.address, value, MATCH_ANY, FUTEX_SIZE_U32);
        // SAFETY: the entry lends no memory: the kernel checks the address and reads the word once, when the
        // wait begins, and only compares what it read.
        unsafe { operation::push(ring, Operation::Bell(number as u16), wait.build())? };
        self.waits[number] = Some(Wait {
            address: word.address,
            serial: word.serial,
            is_leaving: false,
        });
        #[cfg(test)]
        {
            self.begun += 1;
        }
        Ok(())
    }

    /// Cancels the waits on words that were not announced.
    fn leave_others(&mut self, ring: &mut IoUring) -> Result<(), LinkError> {
        let words = self.bells.to_watch();
        for (number, wait) in self.waits.iter_mut().enumerate() {
            let Some(wait) = wait else {
                continue;
            };
            if wait.is_leaving || words.iter().any(|word| wait.is_on(word)) {
                continue;
            }
            let user_data = Operation::Bell(number as u16).user_data();
            let cancel = opcode::AsyncCancel::new(user_data).build();
            // SAFETY: the entry points to no memory.
            unsafe { operation::push(ring, Operation::Cancel, cancel)? };
            wait.is_leaving = true;
            self.cancelling += 1;
        }
        Ok(())
    }

    /// Whether there is something to do for a bell, without announcing anything.
    pub(super) fn are_ready(&self) -> bool {
        self.bells.are_ready()
    }

    /// Whether a bell that rings during a sleep brings a completion of these waits; else somebody else is told.
    pub(super) fn tell_of_rings(&self) -> bool {
        !self.bells.has_relay()
    }

    /// The thread is awake: ringing needs no system call until the next announcement.
    pub(super) fn retract(&self) {
        self.bells.retract();
    }

    /// The wait with this number has completed: its bell has rung, its word was another already, or it was
    /// cancelled.
    pub(super) fn completed(&mut self, number: u16) {
        self.waits[usize::from(number)] = None;
    }

    /// A cancellation has completed, whether it found its wait or not.
    pub(super) fn cancelled(&mut self) {
        self.cancelling -= 1;
    }

    /// Whether the kernel has a wait or a cancellation.
    pub(super) fn are_armed(&self) -> bool {
        self.cancelling > 0 || self.waits.iter().any(Option::is_some)
    }

    /// Waits that were ever begun.
    #[cfg(test)]
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }
}
