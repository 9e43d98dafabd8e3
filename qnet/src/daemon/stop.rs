//! The stop signal: SIGTERM and SIGINT as a file descriptor.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

/// Which signal asked the daemon to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGTERM: a service manager or an operator.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopReason::Terminate => "SIGTERM",
            StopReason::Interrupt => "SIGINT",
        })
    }
}

/// SIGTERM and SIGINT, turned into something that can be waited for.
///
/// Holding one proves that both are blocked in the thread that made it and in every thread started
/// from it since. They stay blocked when the value is dropped, so that a second signal during the
/// clean stop does not cut it short.
#[derive(Debug)]
pub struct StopSignal {
    signals: SignalFd,
}

impl StopSignal {
    /// Blocks the two signals in this thread and opens a descriptor that becomes readable with them.
    ///
    /// Must come before the process starts a thread: one started earlier would still be killed by them.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn install() -> io::Result<StopSignal> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(StopSignal { signals })
    }

    /// Blocks until one of the signals arrives.
    ///
    /// # Errors
    /// The descriptor cannot be waited for (out of kernel memory).
    pub fn wait(&self) -> io::Result<StopReason> {
        loop {
            if let Some(reason) = self.try_take()? {
                return Ok(reason);
            }
            let mut ready = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Takes a signal that has arrived, without waiting.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub fn try_take(&self) -> io::Result<Option<StopReason>> {
        let Some(info) = self.signals.read_signal()? else {
            return Ok(None);
        };
        Ok(Some(if info.ssi_signo == Signal::SIGINT as u32 {
            StopReason::Interrupt
        } else {
            StopReason::Terminate
        }))
    }
}

impl AsFd for StopSignal {
    /// The descriptor for poll, epoll or io_uring: readable when a signal has arrived.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::{pthread::pthread_self, signal};

    use super::*;

    #[test]
    fn a_signal_is_waited_for_and_taken_once() {
        let stop = StopSignal::install().unwrap();
        assert_eq!(stop.try_take().unwrap(), None);
        // To this thread, which has it blocked; the test's other threads have not.
        nix::sys::pthread::pthread_kill(pthread_self(), signal::Signal::SIGTERM).unwrap();
        assert_eq!(stop.wait().unwrap(), StopReason::Terminate);
        assert_eq!(stop.try_take().unwrap(), None);
    }
}
