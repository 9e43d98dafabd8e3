//! Channels and completion queues in somebody else's event loop: a descriptor for epoll, poll and select.
//!
//! ```text
//! peer --ring--> doorbell (futex) --wakes--> helper thread --writes--> eventfd --> epoll of the loop
//! ```
//!
//! A doorbell is a futex word and no descriptor, so a helper thread stands between the two; there is one
//! for each [`Pollable`] and none without. It sleeps on the doorbell all the time, and the loop's own
//! thread raises the flag that makes peers ring: to go back to waiting is a write to memory and no system
//! call, and peers ring once per round of the loop, not once per message. An idle loop makes no system
//! calls at all, nor does its helper.
//!
//! SYNC(readiness): the helper pokes, then reads the words to sleep on with the source armed or not. A
//! ring before that reading is found by the look that goes with it, which then pokes again; one after
//! it has moved a word, and the kernel refuses the sleep.
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

use std::{
    fmt,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::{
    abi::{Errno, Result},
    channel::{Channel, Received},
    connection::{Completion, CompletionQueue},
    process::Life,
    sync::{AtomicU32, Ordering},
    sys::futex::{self, FutexWord},
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
pub struct Pollable<S: Source> {
    shared: Arc<Shared<S>>,
    helper: Option<JoinHandle<()>>,
    process: Life,
}

struct Shared<S> {
    source: S,
    poke: EventFd,
    arming: Mutex<Arming>,
    /// Not 0 once the helper is to end.
    stop: AtomicU32,
}

/// Whether the loop waits, and room for the words that nobody here looks at.
#[derive(Default)]
struct Arming {
    armed: bool,
    words: Vec<FutexWord>,
}

impl<S: Source> Pollable<S> {
    /// Gives `source` a descriptor.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `EAGAIN`: no descriptor or thread left.
    pub fn new(source: S) -> Result<Pollable<S>> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let shared = Arc::new(Shared {
            source,
            poke: EventFd::from_flags(flags)?,
            arming: Mutex::default(),
            stop: AtomicU32::new(0),
        });
        let theirs = Arc::clone(&shared);
        let helper = thread::Builder::new()
            .name("ipc-readiness".into())
            .stack_size(256 << 10)
            .spawn(move || theirs.help())
            .map_err(|error| Errno::of(&error))?;
        Ok(Pollable {
            shared,
            helper: Some(helper),
            process: Life::current(),
        })
    }
}

impl Pollable<Channel> {
    /// Takes what is there without waiting. `None` makes the descriptor unreadable until something comes.
    ///
    /// # Errors
    /// As [`Channel::try_receive`].
    pub fn try_receive(&self) -> Result<Option<Received>> {
        self.shared.take(Channel::try_receive)
    }
}

impl Pollable<CompletionQueue> {
    /// Takes the next completion, if there is one. `None` makes the descriptor unreadable until one comes.
    pub fn try_next(&self) -> Option<Completion> {
        let taken = self.shared.take(|queue| Ok(queue.try_next()));
        taken.expect("invariant: to take a completion does not fail")
    }
}

impl<S: Source> Shared<S> {
    fn take<T>(&self, take: impl Fn(&S) -> Result<Option<T>>) -> Result<Option<T>> {
        let mut arming = self.arming();
        // While the loop is busy peers need not ring.
        if std::mem::take(&mut arming.armed) {
            self.source.disarm();
        }
        if let Some(taken) = take(&self.source)? {
            return Ok(Some(taken));
        }
        // What was poked so far was for what has been taken. An empty counter is no error.
        let _ = self.poke.read();
        let Arming { armed, words } = &mut *arming;
        words.clear();
        *armed = true;
        if !self.source.arm(words) {
            return Ok(None);
        }
        *armed = false;
        self.source.disarm();
        let taken = take(&self.source)?;
        if taken.is_none() {
            // Something is there that is not taken this way, or was taken by somebody else: the loop
            // comes round once more, and does not stay here.
            self.poke();
        }
        Ok(taken)
    }

    fn help(&self) {
        let mut words = Vec::new();
        while self.stop.load(Ordering::Acquire) == 0 {
            self.poke();
            words.clear();
            words.push(FutexWord {
                addr: std::ptr::from_ref(&self.stop).cast(),
                value: 0,
            });
            // SYNC(readiness)
            let arming = self.arming();
            let ready = self.source.arm(&mut words);
            let again = arming.armed && ready;
            if !arming.armed {
                self.source.disarm();
            }
            drop(arming);
            if again {
                self.poke();
            }
            // However the sleep ended, the loop is told to look, which never is wrong: a word that
            // moved before it (EAGAIN), a doorbell that is no longer used (EFAULT), a signal.
            let _ = futex::wait_any(&words, None);
        }
    }

    fn poke(&self) {
        // A full counter is readable, which is all that is wanted of it.
        let _ = self.poke.write(1);
    }

    fn arming(&self) -> MutexGuard<'_, Arming> {
        self.arming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Deref for Pollable<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.shared.source
    }
}

impl<S: Source> AsFd for Pollable<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.poke.as_fd()
    }
}

impl<S: Source> AsRawFd for Pollable<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.shared.poke.as_raw_fd()
    }
}

impl<S: Source> Drop for Pollable<S> {
    fn drop(&mut self) {
        // A forked child has no such thread.
        if !self.process.is_current() {
            return;
        }
        self.shared.stop.store(1, Ordering::Release);
        futex::wake(&self.shared.stop, 1, futex::MATCH_ANY);
        if let Some(helper) = self.helper.take() {
            // It runs nothing of the user's, so it cannot have panicked.
            let _ = helper.join();
        }
    }
}

impl<S: Source> fmt::Debug for Pollable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pollable")
            .field("fd", &self.shared.poke.as_raw_fd())
            .finish_non_exhaustive()
    }
}

mod sealed {
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
