//! Child processes that die with their parent.

use std::io;
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

/// Sets an environment variable of a process that has one thread.
///
/// # Panics
/// When the process has more than one thread: another one could be reading the environment.
pub fn set_env(name: &str, value: &std::ffi::OsStr) {
    assert_eq!(
        thread_count(),
        1,
        "the environment is changed only while the process has one thread"
    );
    // SAFETY: no other thread exists (asserted above), so none can read the environment meanwhile.
    unsafe { std::env::set_var(name, value) }
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
