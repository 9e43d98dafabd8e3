//! Waking others of this node, and letting them run.
//!
//! A wake-up by a system call of its own may cost more than the call: on the thread's own CPU, whoever was woken runs
//! at once, and the thread, with more to wake and to do, waits for its next turn. Several at a time therefore go into
//! the ring, behind the frames.
//!
//! Who was woken on this CPU most often answers at once, or asks anew. If the thread goes to sleep before that, it has
//! to be woken by a system call in its turn; if it gives way instead, it finds the answer when it is back, and nobody
//! has called. It gives way once, and sleeps next; where that does not pay, it does so ever more rarely.

use std::time::Duration;

use io_uring::{IoUring, opcode, squeue};
use ipc_core::{GiveWay, Wake, give_way};
use qnet_proto::Time;

use super::{
    RingLink,
    operation::{self, Operation},
};
use crate::driver::{LinkError, doorbell::FUTEX_SIZE_U32};

/// What the thread knows of those it woke.
#[derive(Debug)]
pub(super) struct Wakes {
    /// The ring can wake sleepers.
    in_ring: bool,
    /// Somebody was woken since the last wait began.
    woke: bool,
    turns: GiveWay,
}

impl Wakes {
    /// `in_ring` says whether the kernel's ring can wake sleepers.
    pub(super) fn new(in_ring: bool) -> Wakes {
        Wakes {
            in_ring,
            woke: false,
            turns: GiveWay::new(),
        }
    }

    /// Makes wake-ups: one at once, several with the next wait.
    pub(super) fn make(&mut self, ring: &mut IoUring, wakes: &[Wake]) {
        self.woke = true;
        let by_ring = self.in_ring && wakes.len() > 1;
        for wake in wakes {
            if !by_ring || push(ring, wake).is_err() {
                wake.make();
            }
        }
    }

    /// Whether giving way to who was woken is likely to pay. To be asked once before a sleep.
    pub(super) fn is_way_due(&self) -> bool {
        self.turns.is_due()
    }

    /// Whether somebody was woken since this was asked last.
    pub(super) fn take_woke(&mut self) -> bool {
        std::mem::take(&mut self.woke)
    }
}

/// Queues a wake-up. No completion tells of it, unless it fails because nobody can sleep there any more.
fn push(ring: &mut IoUring, wake: &Wake) -> Result<(), LinkError> {
    let (count, mask) = (wake.count as u64, u64::from(wake.mask));
    let entry = opcode::FutexWake::new(wake.addr, count, mask, FUTEX_SIZE_U32)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS);
    // SAFETY: the entry lends no memory: the kernel checks the address and finds sleepers by it.
    unsafe { operation::push(ring, Operation::Wake, entry) }
}

impl RingLink {
    /// Hands over what is queued and gives way to who was woken. Answers whether the thread has something to do.
    pub(super) fn give_way(&mut self, now: Time) -> Result<bool, LinkError> {
        self.retract();
        self.enter(now, Some(Duration::ZERO))?;
        let gave = give_way();
        let came = self.bells.are_ready();
        self.wakes.turns.came_back(gave, came);
        Ok(self.reap()? || came)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

    use super::*;
    use crate::driver::{FrameSocket, Link, Poke};

    /// What a word says on which a thread sleeps.
    const ASLEEP: u32 = 1;
    /// Longer than any wake-up takes: a sleep that lasts as long was forgotten.
    static PATIENCE: libc::timespec = libc::timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };

    fn wake_of(word: &AtomicU32) -> Wake {
        Wake {
            addr: word.as_ptr(),
            count: 1,
            mask: u32::MAX,
        }
    }

    /// Sleeps on a word as a client or server does; answers whether somebody woke it.
    fn sleep(word: &AtomicU32) -> bool {
        let sleeps = libc::FUTEX_WAIT;
        // SAFETY: word and time span are borrowed for the call; the kernel reads both and writes neither.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                sleeps,
                ASLEEP,
                &raw const PATIENCE,
            )
        };
        answer == 0
    }

    /// A word, and the thread that sleeps on it.
    struct Sleeper {
        word: AtomicU32,
        /// 0 until it is about to sleep.
        thread: AtomicI32,
    }

    impl Sleeper {
        fn new() -> Sleeper {
            Sleeper {
                word: AtomicU32::new(ASLEEP),
                thread: AtomicI32::new(0),
            }
        }

        fn fall_asleep(&self) -> bool {
            let thread = nix::unistd::gettid();
            self.thread.store(thread.as_raw(), Ordering::Release);
            sleep(&self.word)
        }

        /// Whether it can be woken: the kernel says that it sleeps, and there is nothing else to sleep on.
        fn is_asleep(&self) -> bool {
            let thread = self.thread.load(Ordering::Acquire);
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
            thread != 0 && stat.is_ok_and(|stat| stat.contains(") S "))
        }
    }

    #[test]
    fn one_sleeper_is_woken_at_once_and_several_with_the_next_wait() {
        let (socket, _other) = FrameSocket::loopback_pair(1500, 0x88b5).unwrap();
        let mut link = match RingLink::open(socket, Poke::new().unwrap(), Vec::new()) {
            Ok(link) => link,
            Err(error @ LinkError::RingRefused(_)) => return println!("skipped: {error}"),
            Err(error) => panic!("{error}"),
        };
        for count in [1, 2, 40] {
            let sleepers: Vec<Sleeper> = (0..count).map(|_| Sleeper::new()).collect();
            std::thread::scope(|scope| {
                let threads = sleepers
                    .iter()
                    .map(|sleeper| scope.spawn(move || sleeper.fall_asleep()));
                let threads: Vec<_> = threads.collect();
                while !sleepers.iter().all(Sleeper::is_asleep) {
                    std::thread::yield_now();
                }
                let wakes: Vec<Wake> = sleepers.iter().map(|one| wake_of(&one.word)).collect();
                link.wake(&wakes);
                assert!(link.wakes.woke);
                if count > 1 {
                    assert!(!threads.iter().any(|thread| thread.is_finished()));
                    link.wait(Some(Duration::ZERO)).unwrap();
                }
                for thread in threads {
                    assert!(thread.join().unwrap(), "woken by nobody");
                }
            });
        }
    }

    #[test]
    fn a_word_that_is_not_mapped_any_more_ends_nothing() {
        let (one, two) = FrameSocket::loopback_pair(1500, 0x88b5).unwrap();
        let mut link = match RingLink::open(one, Poke::new().unwrap(), Vec::new()) {
            Ok(link) => link,
            Err(error @ LinkError::RingRefused(_)) => return println!("skipped: {error}"),
            Err(error) => panic!("{error}"),
        };
        let nowhere = Wake {
            addr: std::ptr::without_provenance(4096),
            count: 1,
            mask: u32::MAX,
        };
        link.wake(&[nowhere; 3]);
        link.wait(Some(Duration::ZERO)).unwrap();
        link.wait(Some(Duration::from_millis(1))).unwrap();
        drop((link, two));
    }
}
