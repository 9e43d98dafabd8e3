//! Waiting for descriptors named by bits of sets: as [`readiness`](super::readiness), with other words.

use std::ffi::{c_int, c_short, c_ulong};
use std::time::{Duration, Instant};

use ipc_core::abi::{Errno, Result};
use libc::{
    FD_SETSIZE, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM,
    POLLWRNORM, fd_set, pollfd, sigset_t, timespec, timeval,
};

use super::readiness::{DESCRIPTORS_MAX, duration, wait};
use crate::{real, table};

super::interpose! {
    fn select(
        count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set, timeout: *mut timeval
    ) -> c_int {
        // SAFETY: the caller's promise.
        let time = unsafe { timeout.as_mut() };
        let given = match &time {
            Some(time) => Some(long_duration(time)?),
            None => None,
        };
        // SAFETY: the caller's promise.
        let sets = unsafe { Sets::new(count, [read, write, except]) }?;
        let started = Instant::now();
        let done = sets.wait(given, std::ptr::null())?;
        if let (Some(time), Some(given)) = (time, given) {
            // As the system does: what is left.
            let left = given.saturating_sub(started.elapsed());
            (time.tv_sec, time.tv_usec) = (left.as_secs().cast_signed(), left.subsec_micros().into());
        }
        Some(done)
    } or real::select(count, read, write, except, timeout);

    fn pselect(
        count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set, timeout: *const timespec,
        mask: *const sigset_t
    ) -> c_int {
        // SAFETY: the caller's promise.
        let timeout = unsafe { duration(timeout) }?;
        // SAFETY: the caller's promise.
        unsafe { Sets::new(count, [read, write, except]) }?.wait(timeout, mask)
    } or real::pselect(count, read, write, except, timeout, mask);
}

/// As [`duration`], but microseconds may make seconds, as the C library has it.
fn long_duration(time: &timeval) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let microseconds = u64::try_from(time.tv_usec).ok()?;
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_micros(microseconds)))
}

/// The sets of a select: read, write, except. Each is null or has a bit for each descriptor below `count` that the
/// process's table has room for.
struct Sets {
    sets: [*mut fd_set; 3],
    polled: Vec<pollfd>,
}

/// What a descriptor in each set is polled for, and what makes it one that is ready.
const KINDS: [(c_short, c_short); 3] = [
    (POLLIN, POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR),
    (POLLOUT, POLLOUT | POLLWRNORM | POLLERR),
    (POLLPRI, POLLPRI),
];

impl Sets {
    /// `None` for what the system is to answer or refuse: none of ours is among them, or the number makes no sense.
    ///
    /// # Safety
    /// Each set is null or has `count` bits, or one for each place of the process's table if these are fewer, rounded up
    /// to a word, that may be written while this lives.
    unsafe fn new(count: c_int, sets: [*mut fd_set; 3]) -> Option<Sets> {
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= DESCRIPTORS_MAX)?;
        if table::marked(0, count as c_int - 1).is_empty() {
            return None;
        }
        // Programs name the most that there can be, and give a set of the usual length: the system does not look further
        // than its own table either.
        let count = match count > FD_SETSIZE {
            true => count.min(table_len()?),
            false => count,
        };
        let mut polled = Vec::new();
        for fd in 0..count {
            let events = sets.iter().zip(KINDS).filter(|(set, _)| {
                // SAFETY: the caller's promise.
                !set.is_null() && unsafe { has(**set, fd) }
            });
            let events = events.fold(0, |events, (_, (wanted, _))| events | wanted);
            if events != 0 {
                polled.push(pollfd {
                    fd: fd as c_int,
                    events,
                    revents: 0,
                });
            }
        }
        Some(Sets { sets, polled })
    }

    fn wait(mut self, timeout: Option<Duration>, mask: *const sigset_t) -> Option<Result<c_int>> {
        let waited = wait(&mut self.polled, timeout, mask)?;
        Some(waited.and_then(|_| self.say()))
    }

    /// Leaves in the sets what is ready; answers how many bits.
    fn say(&self) -> Result<c_int> {
        if self
            .polled
            .iter()
            .any(|polled| polled.revents & POLLNVAL != 0)
        {
            return Err(Errno::EBADF);
        }
        let mut count = 0;
        for polled in &self.polled {
            for (set, (wanted, makes_ready)) in self.sets.iter().zip(KINDS) {
                if polled.events & wanted == 0 {
                    continue;
                }
                // Only sets that had the bit are looked at: those that are null had none.
                let is_asked = !set.is_null();
                let fd = polled.fd as usize;
                // SAFETY: not null; below the count, as `new` has read it there.
                if is_asked && unsafe { has(*set, fd) } {
                    match polled.revents & makes_ready {
                        // SAFETY: as above.
                        0 => unsafe { clear(*set, fd) },
                        _ => count += 1,
                    }
                }
            }
        }
        Ok(count)
    }
}

/// Places of the process's table of descriptors, as the system has it now.
fn table_len() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let len = status
        .lines()
        .find_map(|line| line.strip_prefix("FDSize:"))?;
    len.trim().parse().ok()
}

/// Bits of one word of a set.
const WORD_BITS: usize = c_ulong::BITS as usize;

/// # Safety
/// The set has a bit for this descriptor.
unsafe fn has(set: *const fd_set, fd: usize) -> bool {
    // SAFETY: the caller's promise.
    let word = unsafe { *set.cast::<c_ulong>().add(fd / WORD_BITS) };
    word & 1 << (fd % WORD_BITS) != 0
}

/// # Safety
/// As [`has`].
unsafe fn clear(set: *mut fd_set, fd: usize) {
    // SAFETY: the caller's promise.
    unsafe { *set.cast::<c_ulong>().add(fd / WORD_BITS) &= !(1 << (fd % WORD_BITS)) };
}
