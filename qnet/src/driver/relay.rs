//! Sleeps on futex words for kernels whose io_uring cannot (before Linux 6.7), and pokes the ring.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{
    driver::doorbell::{FUTEX_SIZE_U32, Poke, Word},
    limits::DOORBELL_WORDS_MAX,
};

/// The helper thread. It sleeps on a set of words until one is rung or the set is replaced.
#[derive(Debug)]
pub(super) struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Moves with every new set: wakes the helper out of the old one.
    generation: AtomicU32,
    order: Mutex<Order>,
    poke: Poke,
}

#[derive(Debug, Default)]
struct Order {
    words: Vec<Word>,
    stop: bool,
}

// SAFETY: the addresses are only handed to the kernel, which checks them; no thread reads through them.
unsafe impl Send for Order {}

impl Relay {
    /// Starts the helper.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(poke: Poke) -> io::Result<Relay> {
        let shared = Arc::new(Shared {
            generation: AtomicU32::new(0),
            order: Mutex::default(),
            poke,
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("qnet-relay".into())
            .spawn(move || theirs.run())?;
        Ok(Relay {
            shared,
            thread: Some(thread),
        })
    }

    /// Sleeps on these words from now on.
    pub(super) fn watch(&self, words: &[Word]) {
        self.shared.change(|order| {
            order.words.clear();
            order.words.extend_from_slice(words);
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.change(|order| order.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Order)) {
        change(&mut self.order.lock().unwrap_or_else(PoisonError::into_inner));
        self.generation.fetch_add(1, Ordering::Release);
        wake(&self.generation);
    }

    fn run(&self) {
        loop {
            let generation = self.generation.load(Ordering::Acquire);
            let mut words = vec![Word {
                address: self.generation.as_ptr(),
                value: generation,
                serial: 0,
            }];
            {
                let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
                if order.stop {
                    return;
                }
                words.extend(order.words.iter().take(DOORBELL_WORDS_MAX));
            }
            let rung = sleep(&words);
            if rung && self.generation.load(Ordering::Acquire) == generation {
                self.poke.poke();
                // Until the thread names the words to sleep on next, these are stale.
                self.forget(generation);
            }
        }
    }

    /// Drops a set that has rung, unless a newer one is there already.
    fn forget(&self, generation: u32) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if self.generation.load(Ordering::Acquire) == generation {
            order.words.clear();
        }
    }
}

/// One waiter of `futex_waitv` (struct futex_waitv of linux/futex.h).
#[repr(C)]
struct Waiter {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// Sleeps while every word holds its value; `false` for a signal.
fn sleep(words: &[Word]) -> bool {
    let waiters: Vec<Waiter> = words
        .iter()
        .map(|word| Waiter {
            value: u64::from(word.value),
            address: word.address as u64,
            flags: FUTEX_SIZE_U32,
            reserved: 0,
        })
        .collect();
    // SAFETY: the array outlives the call and the count is its own; the kernel checks the addresses in
    // it (EFAULT) and only reads the words. No timeout is given, so that its clock is not looked at.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0,
            std::ptr::null::<libc::timespec>(),
            libc::CLOCK_MONOTONIC,
        )
    };
    outcome >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR)
}

fn wake(word: &AtomicU32) {
    // SAFETY: the word is borrowed and so alive; a wake reads and writes no memory of ours.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd, time::Duration};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_poked(poke: &Poke, patience: Duration) -> bool {
        let timeout = PollTimeout::try_from(patience).unwrap();
        poll(&mut [PollFd::new(poke.as_fd(), PollFlags::POLLIN)], timeout).unwrap() > 0
    }

    #[test]
    fn a_rung_word_becomes_a_poke_and_a_quiet_one_does_not() {
        let poke = Poke::new().unwrap();
        let relay = Relay::start(poke.clone()).unwrap();
        let word = Box::leak(Box::new(AtomicU32::new(5)));
        relay.watch(&[Word {
            address: word.as_ptr(),
            value: 5,
            serial: 0,
        }]);
        assert!(!is_poked(&poke, Duration::from_millis(20)));
        word.store(6, Ordering::Release);
        wake(word);
        assert!(is_poked(&poke, Duration::from_secs(20)));
    }

    #[test]
    fn a_word_that_moved_before_the_sleep_is_a_poke_at_once() {
        let poke = Poke::new().unwrap();
        let relay = Relay::start(poke.clone()).unwrap();
        let word = Box::leak(Box::new(AtomicU32::new(6)));
        relay.watch(&[Word {
            address: word.as_ptr(),
            value: 5,
            serial: 0,
        }]);
        assert!(is_poked(&poke, Duration::from_secs(20)));
    }
}
