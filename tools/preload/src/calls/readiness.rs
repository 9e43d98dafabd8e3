//! Waiting until descriptors are ready. Regular files and directories of ours always are; the server of anything else is
//! asked, again and again, as it has no descriptor here to tell by.

use std::ffi::{c_int, c_short, c_ulong};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipc_core::abi::io::Io;
use ipc_core::abi::{Errno, Result};
use libc::{
    FD_SETSIZE, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM,
    POLLWRNORM, fd_set, nfds_t, pollfd, sigset_t, size_t, timespec, timeval,
};

use crate::real;
use crate::table::{self, OpenFile};

/// How long the system waits for the others before files that were not ready are asked again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// What a file that never makes anybody wait is ready for.
const ALWAYS: c_short = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

/// Descriptors that one call may name: what a process may have open where nobody raised that.
const DESCRIPTORS_MAX: usize = 1 << 20;

super::interpose! {
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, timeout, std::ptr::null()) }
    } or real::poll(fds, count, timeout);

    fn ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int {
        // SAFETY: the caller's promise.
        let timeout = unsafe { timeout.as_ref() }.map(|time| duration(time.tv_sec, time.tv_nsec)).transpose().ok()?;
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, timeout, mask) }
    } or real::ppoll(fds, count, timeout, mask);

    // What these two become under _FORTIFY_SOURCE; with too little room the C library ends the process.
    fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, room: size_t) -> c_int {
        if !has_room(count, room) {
            return None;
        }
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, timeout, std::ptr::null()) }
    } or real::__poll_chk(fds, count, timeout, room);

    fn __ppoll_chk(
        fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t, room: size_t
    ) -> c_int {
        if !has_room(count, room) {
            return None;
        }
        // SAFETY: the caller's promise.
        let timeout = unsafe { timeout.as_ref() }.map(|time| duration(time.tv_sec, time.tv_nsec)).transpose().ok()?;
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, timeout, mask) }
    } or real::__ppoll_chk(fds, count, timeout, mask, room);

    fn select(
        count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set, timeout: *mut timeval
    ) -> c_int {
        // SAFETY: the caller's promise.
        let time = unsafe { timeout.as_mut() };
        let given = match &time {
            Some(time) => Some(duration(time.tv_sec, time.tv_usec.checked_mul(1000)?).ok()?),
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
        let timeout = unsafe { timeout.as_ref() }.map(|time| duration(time.tv_sec, time.tv_nsec)).transpose().ok()?;
        // SAFETY: the caller's promise.
        unsafe { Sets::new(count, [read, write, except]) }?.wait(timeout, mask)
    } or real::pselect(count, read, write, except, timeout, mask);
}

/// # Errors
/// `EINVAL` no length of time: the system is to say so.
fn duration(seconds: i64, nanoseconds: i64) -> Result<Duration> {
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| Errno::EINVAL)?;
    Ok(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds)))
}

fn has_room(count: nfds_t, room: size_t) -> bool {
    let len = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(size_of::<pollfd>()));
    len.is_some_and(|len| len <= room)
}

/// # Safety
/// `fds` is null or `count` descriptions that the caller may write; `mask` is null or a set of signals.
unsafe fn poll_all(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: Option<Duration>,
    mask: *const sigset_t,
) -> Option<Result<c_int>> {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= DESCRIPTORS_MAX)?;
    if fds.is_null() || count == 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    let fds = unsafe { std::slice::from_raw_parts_mut(fds, count) };
    wait(fds, timeout, mask)
}

/// Waits until one is ready, the time is over or a signal comes; `None` if none is ours.
fn wait(
    fds: &mut [pollfd],
    timeout: Option<Duration>,
    mask: *const sigset_t,
) -> Option<Result<c_int>> {
    let ours = fds.iter().enumerate();
    let ours: Vec<_> = ours
        .filter_map(|(at, polled)| Some((at, table::open_at(polled.fd)?)))
        .collect();
    if ours.is_empty() {
        return None;
    }
    // The system passes over what has no number.
    let mut systems = fds.to_vec();
    ours.iter().for_each(|(at, _)| systems[*at].fd = -1);
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut pause = FIRST_PAUSE;
    loop {
        for (at, open) in &ours {
            fds[*at].revents = ready(open, fds[*at].events);
        }
        let count = ours.iter().filter(|(at, _)| fds[*at].revents != 0).count();
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let time = match (count, left) {
            (0, Some(left)) => left.min(pause),
            (0, None) => pause,
            _ => Duration::ZERO,
        };
        let time = timespec {
            tv_sec: 0,
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: the descriptions are this function's own; the mask is the caller's promise.
        let others = unsafe {
            real::ppoll(
                systems.as_mut_ptr(),
                systems.len() as nfds_t,
                &raw const time,
                mask,
            )
        };
        if others < 0 {
            return Some(Err(Errno::last()));
        }
        if others > 0 || count > 0 || left.is_some_and(|left| left.is_zero()) {
            for (polled, system) in fds
                .iter_mut()
                .zip(&systems)
                .filter(|(_, system)| system.fd >= 0)
            {
                polled.revents = system.revents;
            }
            return Some(Ok(others + count as c_int));
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// What a file of ours is ready for, of what is wanted.
fn ready(open: &Arc<OpenFile>, wanted: c_short) -> c_short {
    if open.kind().is_none() || !open.is_device() {
        return wanted & ALWAYS;
    }
    let question = Io::Notify {
        events: u32::from(wanted.cast_unsigned()),
        arm: false,
        code: 0,
        value: 0,
    };
    match open.file.send_io(question, &[], &mut []) {
        Ok(reply) => reply.status as c_short & (wanted | POLLERR | POLLHUP),
        // Whoever cannot say has to be tried.
        Err(Errno::ENOSYS) => wanted & ALWAYS,
        Err(_) => POLLERR,
    }
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
