//! Channels and completion queues in somebody else's event loop: a descriptor for epoll, poll and select.
//!
//! ```text
//! peer --ring--> doorbell (futex) --wakes--> helper thread --writes--> socket --> epoll of the loop
//! ```
//!
//! A doorbell is a futex word and no descriptor, so a helper thread stands between the two; there is one
//! for each [`Pollable`] and none without. Peers ring once per round of the loop, not once per message,
//! and an idle loop makes no system calls at all, nor does its helper.
//!
//! ```
//! use std::os::fd::AsFd;
//! use ipc_core::{Channel, Connection, Received, abi::{ChannelFlags, Nd, Pid, PulseCode}};
//! use ipc_core::readiness::Pollable;
//! use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
//!
//! let channel = Pollable::new(Channel::create(ChannelFlags::empty())?)?;
//! let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;
//! connection.send_pulse(None, PulseCode(1), 42)?;
//! let pulse = loop {
//!     if let Some(Received::Pulse(pulse)) = channel.try_receive()? {
//!         break pulse;
//!     }
//!     poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
//! };
//! assert_eq!(pulse.value, 42);
//! # Ok::<(), ipc_core::abi::Errno>(())
//! ```

mod helper;

use std::{
    fmt,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

pub(crate) use helper::{Helped, Poke};

use crate::{
    abi::Result,
    channel::{Channel, Received},
    connection::{Completion, CompletionQueue},
    sys::flag::Flag,
};

/// What can be waited for by descriptor: a [`Channel`] or a [`CompletionQueue`].
pub trait Source: sealed::Sealed + Send + Sync + 'static {}

impl Source for Channel {}
impl Source for CompletionQueue {}

/// A channel or completion queue with a descriptor that is readable when there may be something to take.
///
/// The descriptor goes into epoll, poll or select, level or edge triggered, and nothing else is done with
/// it. When it is readable, take until there is nothing more: that makes it unreadable, and the next
/// arrival readable again. It may be readable without reason. The loop is the source's one receiver: a
/// thread that sleeps in [`Channel::receive`] or [`CompletionQueue::next`] beside it would take down the
/// flag that the loop raised. Any thread may take, reply and submit.
///
/// Dropping it ends the helper thread, and with a channel destroys that.
pub struct Pollable<S: Source>(Helped<S, Flag>);

impl<S: Source> Pollable<S> {
    /// Gives `source` a descriptor.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `EAGAIN`: no descriptor or thread left.
    pub fn new(source: S) -> Result<Pollable<S>> {
        Helped::new(source, Flag::new()?).map(Pollable)
    }

    /// Makes the descriptor readable for what is left and for what comes, as taking until there is nothing
    /// more does. For a loop of several threads, one of which has taken something and is busy with it.
    pub fn watch(&self) {
        self.0.watch();
    }
}

impl Pollable<Channel> {
    /// Takes what is there without waiting. `None` makes the descriptor unreadable until something comes.
    ///
    /// # Errors
    /// As [`Channel::try_receive`].
    pub fn try_receive(&self) -> Result<Option<Received>> {
        self.0.take(Channel::try_receive)
    }
}

impl Pollable<CompletionQueue> {
    /// Takes the next completion, if there is one. `None` makes the descriptor unreadable until one comes.
    pub fn try_next(&self) -> Option<Completion> {
        let taken = self.0.take(|queue| Ok(queue.try_next()));
        taken.expect("invariant: to take a completion does not fail")
    }
}

impl Poke for Flag {
    fn poke(&self) {
        self.raise();
    }

    fn clear(&self) {
        self.lower();
    }
}

impl<S: Source> Deref for Pollable<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.0.source()
    }
}

impl<S: Source> AsFd for Pollable<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.poke().shown().as_fd()
    }
}

impl<S: Source> AsRawFd for Pollable<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.poke().shown().number()
    }
}

impl<S: Source> fmt::Debug for Pollable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pollable")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}

pub(crate) mod sealed {
    use crate::{channel::Channel, connection::CompletionQueue, sys::futex::FutexWord};

    /// Something whose peers ring futex words.
    pub trait Sealed {
        /// Makes peers ring, and appends the words they ring; true if something is there already.
        fn arm(&self, words: &mut Vec<FutexWord>) -> bool;

        /// Lets peers save the ringing.
        fn disarm(&self);
    }

    impl Sealed for Channel {
        fn arm(&self, words: &mut Vec<FutexWord>) -> bool {
            self.outside().arm(words)
        }

        fn disarm(&self) {
            self.outside().disarm();
        }
    }

    impl Sealed for CompletionQueue {
        fn arm(&self, words: &mut Vec<FutexWord>) -> bool {
            CompletionQueue::arm(self, words)
        }

        fn disarm(&self) {
            CompletionQueue::disarm(self);
        }
    }
}
