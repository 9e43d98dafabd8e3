//! Waiting until descriptors are ready. Regular files and directories of ours always are; the server of anything else is
//! asked, again and again, as it has no descriptor here to tell by.

use std::ffi::{c_int, c_short};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipc_core::abi::io::Io;
use ipc_core::abi::{Errno, Result};
use libc::{
    POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, nfds_t, pollfd, sigset_t, size_t,
    timespec,
};

use crate::real;
use crate::table::{self, OpenFile};

/// How long the system waits for the others before files that were not ready are asked again: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// How long a server has to say whether a file is ready, which until then is not: signals wait meanwhile.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// What a file that never makes anybody wait is ready for.
const ALWAYS: c_short = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

/// Descriptors that one call may name: what a process may have open where nobody raised that.
pub(super) const DESCRIPTORS_MAX: usize = 1 << 20;

super::interpose! {
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, milliseconds(timeout), std::ptr::null()) }
    } or real::poll(fds, count, timeout);

    fn ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int {
        // SAFETY: the caller's promise.
        let timeout = unsafe { duration(timeout) }?;
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, timeout, mask) }
    } or real::ppoll(fds, count, timeout, mask);

    // What these two become under _FORTIFY_SOURCE; with too little room the C library ends the process.
    fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, room: size_t) -> c_int {
        if !has_room(count, room) {
            return None;
        }
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, milliseconds(timeout), std::ptr::null()) }
    } or real::__poll_chk(fds, count, timeout, room);

    fn __ppoll_chk(
        fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t, room: size_t
    ) -> c_int {
        if !has_room(count, room) {
            return None;
        }
        // SAFETY: the caller's promise.
        let timeout = unsafe { duration(timeout) }?;
        // SAFETY: the caller's promise.
        unsafe { poll_all(fds, count, timeout, mask) }
    } or real::__ppoll_chk(fds, count, timeout, mask, room);
}

/// How long a call may wait, for ever if the number is negative.
fn milliseconds(timeout: c_int) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

/// How long a call may wait, for ever if nothing is said; `None` for what is no length of time, which the system refuses.
///
/// # Safety
/// `time` is null or a time.
pub(super) unsafe fn duration(time: *const timespec) -> Option<Option<Duration>> {
    // SAFETY: the caller's promise.
    let Some(time) = (unsafe { time.as_ref() }) else {
        return Some(None);
    };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
    (nanoseconds < 1_000_000_000).then(|| Some(Duration::new(seconds, nanoseconds)))
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
///
/// A signal that comes while servers are asked is noticed as one that comes while the system waits: it is held back
/// until then, and the system lets it through in the same step in which it begins to wait.
pub(super) fn wait(
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
    // Asked once, and without an end: before signals are held back.
    ours.iter().for_each(|(_, open)| _ = open.kind());
    let signals = Signals::hold();
    loop {
        for (at, open) in &ours {
            fds[*at].revents = ready(open, fds[*at].events);
        }
        let count = ours.iter().filter(|(at, _)| fds[*at].revents != 0).count();
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        // What is ready is told before a signal is.
        let (time, mask) = match (count, left) {
            (1.., _) => (Duration::ZERO, std::ptr::null()),
            (0, Some(left)) => (left.min(pause), signals.unless_given(mask)),
            (0, None) => (pause, signals.unless_given(mask)),
        };
        let time = timespec {
            tv_sec: 0,
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: the descriptions are this function's own; the mask is the caller's promise, or that of before.
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
    let connection = open.file.connection();
    match connection.send_timeout(&question.encode(), &mut [], ANSWER_TIME) {
        Ok(reply) => reply.status as c_short & (wanted | POLLERR | POLLHUP),
        Err(Errno::ETIMEDOUT) => 0,
        // Whoever cannot say has to be tried.
        Err(Errno::ENOSYS) => wanted & ALWAYS,
        Err(_) => POLLERR,
    }
}

/// This thread's signals, which wait while this lives. Faults do not: the system never holds those back.
struct Signals {
    before: sigset_t,
}

impl Signals {
    fn hold() -> Signals {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: the first call fills the set that the second reads; that one fills the other, and fails only for what
        // the first argument is not.
        let before = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            before.assume_init()
        };
        Signals { before }
    }

    /// The signals to hold back while the system waits: as the program says, else as it had it before.
    fn unless_given(&self, mask: *const sigset_t) -> *const sigset_t {
        if mask.is_null() {
            &raw const self.before
        } else {
            mask
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: the set is that of before; there is no other one to write.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            )
        };
    }
}
