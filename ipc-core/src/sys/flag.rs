//! A descriptor that is readable while a flag is up, for other people's event loops.
//!
//! An eventfd would do, but all eventfds look alike to `fstat`, and a program that closes what it does not know would
//! have its own written to. Each end of a socket pair knows whether it is still there.

use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use crate::{
    abi::{Errno, Result},
    sys::descriptor::Descriptor,
};

/// A flag. What is done to one whose descriptors the program closed does nothing.
#[derive(Debug)]
pub(crate) struct Flag {
    shown: Descriptor,
    raiser: Descriptor,
}

/// Raises that are taken back by one system call.
const BATCH: usize = 64;

impl Flag {
    /// # Errors
    /// `EMFILE`, `ENFILE`: no descriptor left.
    pub(crate) fn new() -> Result<Flag> {
        let (family, kind) = (AddressFamily::Unix, SockType::Stream);
        let (shown, raiser): (OwnedFd, OwnedFd) =
            socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        Ok(Flag {
            shown: Descriptor::keep(shown)?,
            raiser: Descriptor::keep(raiser)?,
        })
    }

    /// Makes the descriptor readable, and tells those who wait for a change that there was one.
    pub(crate) fn raise(&self) {
        if self.try_raise() == Err(Errno::EAGAIN) {
            // It is up, but a loop that waits for a change would not see one.
            self.lower();
            let _ = self.try_raise();
        }
    }

    fn try_raise(&self) -> Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.raiser.raw()?, &[1], flags)?;
        Ok(())
    }

    /// Makes the descriptor unreadable.
    pub(crate) fn lower(&self) {
        let mut raised = [0; BATCH];
        while let Ok(shown) = self.shown.raw()
            && recv(shown, &mut raised, MsgFlags::MSG_DONTWAIT) == Ok(BATCH)
        {}
    }

    /// What is readable while the flag is up.
    pub(crate) fn shown(&self) -> &Descriptor {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_up(flag: &Flag) -> bool {
        let mut fds = [PollFd::new(flag.shown().as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn it_is_readable_from_a_raise_to_the_next_lowering_however_often_it_was_raised() {
        let flag = Flag::new().unwrap();
        assert!(!is_up(&flag));
        for raises in [1, 2, BATCH, BATCH + 1, 10_000] {
            (0..raises).for_each(|_| flag.raise());
            assert!(is_up(&flag));
            flag.lower();
            assert!(!is_up(&flag), "{raises}");
        }
    }
}
