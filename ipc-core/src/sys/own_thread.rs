//! Threads that this library starts beside the program's own.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

/// Starts one, to which no signal comes: a program's handlers run on the program's threads. It may count on that for a wait
/// that a signal is to end, and for a signal that all its threads hold back but the one that takes it.
///
/// # Errors
/// Those of starting a thread.
pub(crate) fn start<T: Send + 'static>(
    builder: Builder,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let _held = Held::all();
    builder.spawn(work)
}

/// Holds the signals of the calling thread back while it lives: a new thread begins with the mask of who starts it.
#[cfg(not(miri))]
struct Held(nix::sys::signal::SigSet);

#[cfg(not(miri))]
impl Held {
    /// `None` where the system refuses, which no system does.
    fn all() -> Option<Held> {
        use nix::sys::signal::{SigSet, SigmaskHow};
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        before.ok().map(Held)
    }
}

#[cfg(not(miri))]
impl Drop for Held {
    fn drop(&mut self) {
        self.0.thread_set_mask().ok();
    }
}

/// Miri knows no signals.
#[cfg(miri)]
struct Held;

#[cfg(miri)]
impl Held {
    fn all() -> Held {
        Held
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{SigSet, Signal};

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no signals")]
    fn no_signal_comes_to_it_and_who_starts_it_gets_them_as_before() {
        let before = SigSet::thread_get_mask().unwrap();
        assert!(!before.contains(Signal::SIGUSR1));
        let mask = start(Builder::new(), || SigSet::thread_get_mask().unwrap());
        let mask = mask.unwrap().join().unwrap();
        for signal in [Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGCHLD] {
            assert!(mask.contains(signal), "{signal}");
        }
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
