//! Doorbells: how a sleeper learns which of many connections have something for it.
//!
//! A doorbell is one page pair, shared by the sleeper and by ringers of one user id. It is crash-proof:
//! a ringer changes it by single atomic instructions and never holds anything in between. What it says
//! is a hint; a ringer that scribbles can delay only its own user's connections.
//!
//! ```text
//! page 0:  0    flags: SLEEPING, READY_SET, STAMP        64  futex word (epoch)   68  wake mask
//!          128  summary: 8 words, one bit per word of the ready set
//! page 1:  ready set: 512 words, one bit per connection
//! ```
//!
//! SYNC(doorbell): the ringer publishes its entry, then a SeqCst fence, then reads the flags; the
//! sleeper sets a flag, then a SeqCst fence, then looks at the entries. Without the two fences both
//! reads could come before both writes, and the sleeper would sleep beside a message.

use std::os::fd::{AsFd, OwnedFd};

use crate::{
    abi::Result,
    shm::mapping::Mapping,
    sync::{AtomicU32, AtomicU64, Ordering, fence},
    sys::{
        failpoint::{self, Failpoint},
        futex::{self, Wake},
        memfd,
    },
};

/// Connections that one doorbell tells apart.
pub(crate) const BITS_MAX: u32 = 512 * 64;

const LEN: usize = 8192;
const FLAGS_OFFSET: usize = 0;
const EPOCH_OFFSET: usize = 64;
const MASK_OFFSET: usize = 68;
const SUMMARY_OFFSET: usize = 128;
const READY_OFFSET: usize = 4096;

const _: () = assert!(READY_OFFSET + BITS_MAX as usize / 8 == LEN);
const _: () = assert!(BITS_MAX as usize >= crate::abi::limits::CONNECTIONS_MAX);

const SLEEPING: u32 = 1;
const READY_SET: u32 = 2;
const STAMP: u32 = 4;

/// One doorbell, as either side maps it.
#[derive(Debug)]
pub(crate) struct Doorbell {
    map: Mapping,
    /// No other mapping of a doorbell in this process has or had it.
    serial: u64,
}

impl Doorbell {
    /// Makes a doorbell and the descriptor to hand to ringers.
    pub(crate) fn create() -> Result<(Doorbell, OwnedFd)> {
        let fd = memfd::create_sealed("qnet-doorbell", LEN)?;
        Ok((Doorbell::map(&fd)?, fd))
    }

    /// Maps a doorbell that a peer sent, after the checks of its seals and size.
    pub(crate) fn open(fd: impl AsFd) -> Result<Doorbell> {
        memfd::check_sealed(&fd, LEN)?;
        Doorbell::map(&fd)
    }

    fn map(fd: impl AsFd) -> Result<Doorbell> {
        static SERIALS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Ok(Doorbell {
            map: Mapping::new(fd, LEN)?,
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
        })
    }

    #[inline]
    fn flags(&self) -> &AtomicU32 {
        self.map.atomic_u32(FLAGS_OFFSET)
    }

    fn epoch_word(&self) -> &AtomicU32 {
        self.map.atomic_u32(EPOCH_OFFSET)
    }

    fn summary(&self, word: u32) -> &AtomicU64 {
        self.map.atomic_u64(SUMMARY_OFFSET + word as usize / 64 * 8)
    }

    fn ready(&self, word: u32) -> &AtomicU64 {
        self.map.atomic_u64(READY_OFFSET + word as usize * 8)
    }

    /// Ringer: whether entries must carry the time they were posted at, because several connections
    /// are to be served in one order.
    #[inline]
    pub(crate) fn wants_stamp(&self) -> bool {
        self.flags().load(Ordering::Relaxed) & STAMP != 0
    }

    /// Ringer: an entry of connection `bit` was published. Answers whether that woke a sleeper.
    pub(crate) fn ring(&self, bit: u32) -> bool {
        self.owed_ring(bit).is_some_and(|wake| wake.make() > 0)
    }

    /// Ringer: as [`ring`](Self::ring), but leaves it to the caller to wake the sleeper, soon: nobody else does
    /// meanwhile.
    pub(crate) fn owed_ring(&self, bit: u32) -> Option<Wake> {
        fence(Ordering::SeqCst); // SYNC(doorbell)
        let mut flags = self.flags().load(Ordering::Relaxed);
        if flags & READY_SET != 0 {
            self.set_ready(bit % BITS_MAX);
            fence(Ordering::SeqCst); // SYNC(doorbell)
            flags = self.flags().load(Ordering::Relaxed);
        }
        match flags & SLEEPING {
            0 => None,
            _ => self.take_one(),
        }
    }

    /// Either side: wakes one sleeper of the published mask if somebody sleeps.
    pub(crate) fn kick(&self) -> bool {
        fence(Ordering::SeqCst); // SYNC(doorbell)
        let sleeps = self.flags().load(Ordering::Relaxed) & SLEEPING != 0;
        sleeps && self.take_one().is_some_and(|wake| wake.make() > 0)
    }

    /// Sleeper's side: wakes every sleeper, whatever the flags say.
    pub(crate) fn kick_all(&self) {
        self.flags().fetch_and(!SLEEPING, Ordering::AcqRel);
        self.epoch_word().fetch_add(1, Ordering::Release);
        futex::wake(self.epoch_word(), i32::MAX, futex::MATCH_ANY);
    }

    /// Sleeper's side: wakes one sleeper whose mask shares a bit with `mask`.
    pub(crate) fn kick_mask(&self, mask: u32) {
        self.epoch_word().fetch_add(1, Ordering::Release);
        futex::wake(self.epoch_word(), 1, mask);
    }

    /// Sleeper's side: wakes every sleeper whose mask shares a bit with `mask`.
    pub(crate) fn kick_masked(&self, mask: u32) {
        self.epoch_word().fetch_add(1, Ordering::Release);
        futex::wake(self.epoch_word(), i32::MAX, mask);
    }

    /// Takes the announcement of a sleep; who gets it has to wake the sleeper.
    fn take_one(&self) -> Option<Wake> {
        if self.flags().fetch_and(!SLEEPING, Ordering::AcqRel) & SLEEPING == 0 {
            return None;
        }
        failpoint::pass(Failpoint::BellTaken);
        self.epoch_word().fetch_add(1, Ordering::Release);
        let mask = self.map.atomic_u32(MASK_OFFSET).load(Ordering::Acquire);
        // A mask of 0 would be an invalid argument and wake nobody.
        let mask = if mask == 0 { futex::MATCH_ANY } else { mask };
        Some(Wake::of(self.epoch_word(), 1, mask))
    }

    fn set_ready(&self, bit: u32) {
        let word = bit / 64;
        self.ready(word).fetch_or(1 << (bit % 64), Ordering::AcqRel);
        failpoint::pass(Failpoint::ReadyBitSet);
        // SYNC(ready): the bit goes out before the summary is read, as `take_ready` clears the summary
        // before it reads the bits; otherwise a bit could be set under a summary that was just taken.
        fence(Ordering::SeqCst);
        let summary_bit = 1 << (word % 64);
        if self.summary(word).load(Ordering::Relaxed) & summary_bit == 0 {
            self.summary(word).fetch_or(summary_bit, Ordering::AcqRel);
        }
    }

    /// Sleeper: announces that somebody is about to sleep, to be woken through `mask`. Answers the
    /// epoch to sleep on; the caller looks at the entries once more before it does.
    pub(crate) fn prepare_sleep(&self, mask: u32) -> u32 {
        // Before the flag goes up: a ringer that took it down for something older moves the epoch on
        // afterwards, and whoever slept on the moved epoch would sleep without a flag.
        let epoch = self.epoch_word().load(Ordering::Acquire);
        self.map
            .atomic_u32(MASK_OFFSET)
            .store(mask, Ordering::Release);
        self.flags().fetch_or(SLEEPING, Ordering::AcqRel);
        fence(Ordering::SeqCst); // SYNC(doorbell)
        epoch
    }

    /// Sleeper: nobody sleeps after all.
    pub(crate) fn cancel_sleep(&self) {
        // A sleeper that was woken finds it taken down.
        if self.flags().load(Ordering::Relaxed) & SLEEPING == 0 {
            return;
        }
        self.flags().fetch_and(!SLEEPING, Ordering::AcqRel);
    }

    /// Sleeper: sleeps while the epoch is `epoch`; errors as [`futex::wait`].
    pub(crate) fn sleep(&self, epoch: u32, mask: u32, deadline_ns: Option<u64>) -> Result<()> {
        futex::wait(self.epoch_word(), epoch, mask, deadline_ns)
    }

    /// The word to sleep on by other means, and the epoch to sleep at.
    pub(crate) fn futex_word(&self, epoch: u32) -> futex::FutexWord {
        futex::FutexWord {
            addr: std::ptr::from_ref(self.epoch_word()).cast(),
            value: epoch,
            serial: self.serial,
        }
    }

    /// Sleeper: from now on ringers set ready bits and stamp their entries, or no longer do. The
    /// caller looks at every connection once afterwards.
    pub(crate) fn set_modes(&self, ready_set: bool, stamp: bool) {
        let on = if ready_set { READY_SET } else { 0 } | if stamp { STAMP } else { 0 };
        self.flags().fetch_or(on, Ordering::AcqRel);
        self.flags().fetch_and(on | SLEEPING, Ordering::AcqRel);
        fence(Ordering::SeqCst); // SYNC(doorbell)
    }

    /// Sleeper: whether any ready bit is set.
    pub(crate) fn is_any_ready(&self) -> bool {
        (0..8).any(|i| self.summary(i * 64).load(Ordering::Acquire) != 0)
    }

    /// Sleeper: takes every ready bit, lowest first.
    pub(crate) fn take_ready(&self, mut each: impl FnMut(u32)) {
        for group in 0..8 {
            let summary = self.summary(group * 64);
            if summary.load(Ordering::Acquire) == 0 {
                continue;
            }
            let words = summary.swap(0, Ordering::AcqRel);
            fence(Ordering::SeqCst); // SYNC(ready)
            for_each_bit(words, |index| {
                let word = group * 64 + index;
                let bits = self.ready(word).swap(0, Ordering::AcqRel);
                for_each_bit(bits, |bit| each(word * 64 + bit));
            });
        }
    }
}

fn for_each_bit(mut bits: u64, mut each: impl FnMut(u32)) {
    while bits != 0 {
        each(bits.trailing_zeros());
        bits &= bits - 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ready_bits_are_taken_once() {
        let (bell, fd) = Doorbell::create().unwrap();
        bell.set_modes(true, false);
        let ringer = Doorbell::open(&fd).unwrap();
        for bit in [0, 63, 64, BITS_MAX - 1, 63] {
            assert!(!ringer.ring(bit));
        }
        assert!(bell.is_any_ready());
        let mut taken = Vec::new();
        bell.take_ready(|bit| taken.push(bit));
        assert_eq!(taken, [0, 63, 64, BITS_MAX - 1]);
        assert!(!bell.is_any_ready());
    }

    #[test]
    fn only_the_first_ringer_of_an_epoch_pays() {
        let (bell, _fd) = Doorbell::create().unwrap();
        assert!(!bell.ring(0));
        let epoch = bell.prepare_sleep(futex::MATCH_ANY);
        bell.ring(0);
        assert_eq!(
            bell.sleep(epoch, futex::MATCH_ANY, None),
            Err(crate::abi::Errno::EAGAIN)
        );
        let after = bell.epoch_word().load(Ordering::Relaxed);
        bell.ring(0);
        assert_eq!(bell.epoch_word().load(Ordering::Relaxed), after);
    }

    #[test]
    fn no_ring_is_lost_between_a_look_and_a_sleep() {
        let (bell, _fd) = Doorbell::create().unwrap();
        let posted = std::sync::atomic::AtomicU32::new(0);
        let rounds = if cfg!(miri) { 100 } else { 20_000 };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..rounds {
                    posted.fetch_add(1, Ordering::Release);
                    bell.ring(0);
                }
            });
            let mut seen = 0;
            while seen < rounds {
                let epoch = bell.prepare_sleep(futex::MATCH_ANY);
                let now = posted.load(Ordering::Acquire);
                if now == seen {
                    let _ = bell.sleep(epoch, futex::MATCH_ANY, None);
                }
                seen = now;
            }
        });
    }
}
