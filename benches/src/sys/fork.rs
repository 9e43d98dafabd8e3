//! Child processes that die with their parent.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid};

/// A forked child; dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
}

impl Child {
    /// Forks; the child runs `body` with its end of a socket pair and exits when that returns.
    ///
    /// # Errors
    /// What `socketpair` or `fork` answer.
    ///
    /// # Panics
    /// When the process has more than one thread: a forked copy of a threaded process may hold locks that
    /// nobody will ever release.
    pub fn spawn(body: impl FnOnce(UnixStream)) -> io::Result<(Child, UnixStream)> {
        assert_eq!(thread_count(), 1, "fork needs a process with one thread");
        let (ours, theirs) = UnixStream::pair()?;
        let parent = nix::unistd::getpid();
        // SAFETY: the process has one thread (asserted above), so the child's copy of every lock is free
        // and the child may go on as an ordinary process.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Parent { child } => Ok((Child { pid: child }, ours)),
            ForkResult::Child => {
                drop(ours);
                super::interrupt::restore();
                die_with(parent);
                let outcome =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(theirs)));
                // SAFETY: `_exit` ends the process and touches none of its memory; exit handlers and
                // buffers belong to the parent, which still has its own.
                unsafe { libc::_exit(i32::from(outcome.is_err())) }
            }
        }
    }

    /// The child's process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}

/// Sets an environment variable of a process that has one thread; a variable that has the value is left alone.
///
/// # Panics
/// When the process has more than one thread: another one could be reading the environment.
pub fn set_env(name: &str, value: &std::ffi::OsStr) {
    if std::env::var_os(name).is_some_and(|old| old == value) {
        return;
    }
    assert_eq!(
        thread_count(),
        1,
        "the environment is changed only while the process has one thread"
    );
    // SAFETY: no other thread exists (asserted above), so none can read the environment meanwhile.
    unsafe { std::env::set_var(name, value) }
}

/// A descriptor that this program was started with, by its number; it closes at the next `execv`.
///
/// # Errors
/// EBADF when no descriptor has that number.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        // Standard streams have owners in the standard library.
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: F_SETFD takes no pointers; it answers EBADF where no such descriptor is open.
    let outcome = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as just seen. Whoever loaded this program left it open for this one caller and
    // names it once on the command line, so that nothing else in the process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn die_with(parent: Pid) {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    // The parent may have gone before the line above took effect.
    if nix::unistd::getppid() != parent {
        std::process::exit(1);
    }
}

fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}
