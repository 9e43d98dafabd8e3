//! Futexes in shared memory: wait, wake, and wait for several words at once.

#[cfg(loom)]
pub(crate) use crate::sync::futex::wait;
use crate::{
    abi::{Errno, Result, limits::FUTEX_WORDS_MAX},
    sync::AtomicU32,
};

/// Wakes and is woken by every bit of a mask.
pub(crate) const MATCH_ANY: u32 = u32::MAX;

/// A futex word that somebody else's loop waits on: io_uring's `FUTEX_WAIT`, or a relay thread.
#[derive(Clone, Copy, Debug)]
pub struct FutexWord {
    /// Address of the word; valid as long as the channel or queue that gave it lives.
    pub addr: *const u32,
    /// What the word held when nothing was ready: to sleep is right only while it still does.
    pub value: u32,
    /// Tells it from a word that was at this address before, and is no longer mapped: whoever keeps a sleep from one
    /// announcement to the next compares both.
    pub serial: u64,
}

// SAFETY: the pointer is only ever handed to the kernel, which checks it; no thread reads through it.
unsafe impl Send for FutexWord {}

/// Sleeps while `word` holds `value`, until a wake-up that shares a bit with `mask`, a signal
/// (`EINTR`), or `deadline_ns` on the monotonic clock (`ETIMEDOUT`). `EAGAIN` when the word differs.
#[cfg(not(loom))]
pub(crate) fn wait(
    word: &AtomicU32,
    value: u32,
    mask: u32,
    deadline_ns: Option<u64>,
) -> Result<()> {
    let deadline = deadline_ns.map(timespec);
    let deadline_ptr = deadline
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `word` is a live, aligned u32 for the whole call because it is borrowed; the timespec, if
    // any, outlives the call on this stack; FUTEX_WAIT_BITSET ignores the fifth argument.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex,
            std::ptr::from_ref(word),
            libc::FUTEX_WAIT_BITSET,
            value,
            deadline_ptr,
            std::ptr::null::<u32>(),
            mask,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(Errno::last())
    }
}

/// Wakes at most `count` sleepers whose mask shares a bit with `mask`; answers how many there were.
pub(crate) fn wake(word: &AtomicU32, count: i32, mask: u32) -> usize {
    Wake::of(word, count, mask).make()
}

/// A wake-up that is owed: what the sleeper waits for is in place, and it does not know yet.
///
/// Where many are owed at one time, or a system call is about to be made anyway, whoever has handed things over
/// [makes](Self::make) them later, or has io_uring's `FUTEX_WAKE` make them. Until then somebody sleeps.
///
/// It does not keep the word mapped. A word that is not mapped any more wakes nobody, and need not: its connection
/// has ended, and the hang-up tells whoever sleeps there. Another word at its address has a sleeper that looks round.
#[derive(Clone, Copy, Debug)]
#[must_use = "somebody sleeps until it is made"]
pub struct Wake {
    /// Address of the futex word, which is shared between processes.
    pub addr: *const u32,
    /// Sleepers to wake, at most; more than 0.
    pub count: i32,
    /// Who shares a bit with it is woken; not 0.
    pub mask: u32,
}

// SAFETY: the pointer is only ever handed to the kernel, which checks it; no thread reads through it.
unsafe impl Send for Wake {}

impl Wake {
    pub(crate) fn of(word: &AtomicU32, count: i32, mask: u32) -> Wake {
        Wake {
            addr: std::ptr::from_ref(word).cast(),
            count,
            mask,
        }
    }

    /// Wakes the sleepers by a system call; answers how many there were.
    #[cfg(not(loom))]
    pub fn make(self) -> usize {
        // SAFETY: the kernel checks the address, finds sleepers by it and reads and writes no memory there; it
        // ignores the two pointers.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.addr,
                libc::FUTEX_WAKE_BITSET,
                self.count,
                std::ptr::null::<libc::timespec>(),
                std::ptr::null::<u32>(),
                self.mask,
            )
        };
        usize::try_from(answer).unwrap_or(0)
    }

    /// Wakes the sleepers among loom's threads.
    #[cfg(loom)]
    pub fn make(self) -> usize {
        crate::sync::futex::wake(self.addr.addr(), self.count, self.mask)
    }
}

/// Sleeps while every word holds its value; errors as [`wait`]. `words` must not be empty and holds at
/// most [`FUTEX_WORDS_MAX`]: more are cut off, so the caller watches the rest by other means.
pub(crate) fn wait_any(words: &[FutexWord], deadline_ns: Option<u64>) -> Result<()> {
    const FUTEX2_SIZE_U32: u32 = 2;

    #[repr(C)]
    struct Waiter {
        value: u64,
        addr: u64,
        flags: u32,
        reserved: u32,
    }

    let waiters: Vec<Waiter> = words
        .iter()
        .take(FUTEX_WORDS_MAX)
        .map(|w| Waiter {
            value: u64::from(w.value),
            addr: w.addr as u64,
            flags: FUTEX2_SIZE_U32,
            reserved: 0,
        })
        .collect();
    let deadline = deadline_ns.map(timespec);
    let deadline_ptr = deadline
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the array and the timespec outlive the call on this stack and the count is the array's;
    // the kernel checks the addresses inside it and answers EFAULT for a bad one.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0,
            deadline_ptr,
            libc::CLOCK_MONOTONIC,
        )
    };
    if answer >= 0 {
        Ok(())
    } else {
        Err(Errno::last())
    }
}

fn timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (ns / 1_000_000_000).cast_signed(),
        tv_nsec: (ns % 1_000_000_000).cast_signed(),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{sync::Ordering, sys::clock};

    #[test]
    fn a_word_that_differs_is_not_slept_on() {
        let word = AtomicU32::new(7);
        assert_eq!(wait(&word, 8, MATCH_ANY, None), Err(Errno::EAGAIN));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no futex_waitv")]
    fn a_deadline_in_the_past_is_a_timeout() {
        let word = AtomicU32::new(7);
        let deadline = Some(clock::monotonic_ns());
        assert_eq!(wait(&word, 7, MATCH_ANY, deadline), Err(Errno::ETIMEDOUT));
        let words = [FutexWord {
            addr: word.as_ptr(),
            value: 7,
            serial: 0,
        }];
        assert_eq!(wait_any(&words, deadline), Err(Errno::ETIMEDOUT));
    }

    #[test]
    fn a_wake_reaches_only_the_sleepers_of_its_mask() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    let _ = wait(&word, 0, 0b10, None);
                }
            });
            assert_eq!(wake(&word, 1, 0b01), 0);
            word.store(1, Ordering::Release);
            while !sleeper.is_finished() {
                wake(&word, 1, 0b10);
            }
        });
    }
}
