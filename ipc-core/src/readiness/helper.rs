//! The helper thread between a futex word and a loop that waits for something else.
//!
//! It sleeps on the doorbells all the time, and the loop's own thread raises the flag that makes peers
//! ring: to go back to waiting is a write to memory and no system call.
//!
//! SYNC(readiness): the helper pokes, then reads the words to sleep on, armed or not. A ring before that
//! reading is found by the look that goes with it, which then pokes again; one after it has moved a word,
//! and the kernel refuses the sleep.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use crate::{
    abi::{Errno, Result},
    process::Life,
    readiness::Source,
    sync::{AtomicU32, Ordering},
    sys::{
        futex::{self, FutexWord},
        own_thread,
    },
};

/// How a loop is told to look.
pub(crate) trait Poke: Send + Sync + 'static {
    /// Tells the loop to look, now or when it next waits.
    fn poke(&self);

    /// Takes back what was said so far.
    fn clear(&self);
}

/// A source with its helper thread, which ends with it.
pub(crate) struct Helped<S: Source, P: Poke> {
    shared: Arc<Shared<S, P>>,
    helper: Option<JoinHandle<()>>,
    process: Life,
}

struct Shared<S, P> {
    source: S,
    poke: P,
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

impl<S: Source, P: Poke> Helped<S, P> {
    /// Starts the helper.
    ///
    /// # Errors
    /// `EAGAIN`: no thread left.
    pub(crate) fn new(source: S, poke: P) -> Result<Helped<S, P>> {
        let shared = Arc::new(Shared {
            source,
            poke,
            arming: Mutex::default(),
            stop: AtomicU32::new(0),
        });
        let theirs = Arc::clone(&shared);
        let builder = thread::Builder::new()
            .name("ipc-readiness".into())
            .stack_size(256 << 10);
        let helper =
            own_thread::start(builder, move || theirs.help()).map_err(|error| Errno::of(&error))?;
        Ok(Helped {
            shared,
            helper: Some(helper),
            process: Life::current(),
        })
    }

    pub(crate) fn source(&self) -> &S {
        &self.shared.source
    }

    pub(crate) fn poke(&self) -> &P {
        &self.shared.poke
    }

    /// Takes what is there. If that is nothing, the loop is poked when there may be something.
    pub(crate) fn take<T>(&self, take: impl Fn(&S) -> Result<Option<T>>) -> Result<Option<T>> {
        let Shared { source, poke, .. } = &*self.shared;
        if !self.process.is_current() {
            // The descriptor is the parent's as well: what it says is not this process's to change.
            return take(source);
        }
        let mut arming = self.shared.arming();
        // While the loop is busy peers need not ring.
        if std::mem::take(&mut arming.armed) {
            source.disarm();
        }
        if let Some(taken) = take(source)? {
            return Ok(Some(taken));
        }
        // What was poked so far was for what has been taken.
        poke.clear();
        if !arming.arm(source) {
            return Ok(None);
        }
        arming.armed = false;
        source.disarm();
        let taken = take(source)?;
        if taken.is_none() {
            // Something is there that is not taken this way, or was taken by somebody else: the loop
            // comes round once more, and does not stay here.
            poke.poke();
        }
        Ok(taken)
    }

    /// Pokes the loop if there is something, and when something comes.
    pub(crate) fn watch(&self) {
        if self.process.is_current() && self.shared.arming().arm(&self.shared.source) {
            self.shared.poke.poke();
        }
    }
}

impl<S: Source, P: Poke> Shared<S, P> {
    fn help(&self) {
        let mut words = Vec::new();
        while self.stop.load(Ordering::Acquire) == 0 {
            self.poke.poke();
            words.clear();
            words.push(FutexWord {
                addr: std::ptr::from_ref(&self.stop).cast(),
                value: 0,
                serial: 0,
            });
            if self.read_words(&mut words) {
                self.poke.poke();
            }
            // However the sleep ended, the loop is told to look, which never is wrong: a word that
            // moved before it (EAGAIN), a doorbell that is no longer used (EFAULT), a signal.
            let _ = futex::wait_any(&words, None);
        }
    }

    /// SYNC(readiness): appends the words to sleep on; true if the loop waits and there is something.
    fn read_words(&self, words: &mut Vec<FutexWord>) -> bool {
        let arming = self.arming();
        let ready = self.source.arm(words);
        if !arming.armed {
            self.source.disarm();
        }
        arming.armed && ready
    }

    fn arming(&self) -> MutexGuard<'_, Arming> {
        self.arming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arming {
    /// Makes peers ring; true if something is there already.
    fn arm<S: Source>(&mut self, source: &S) -> bool {
        self.words.clear();
        self.armed = true;
        source.arm(&mut self.words)
    }
}

impl<S: Source, P: Poke> Drop for Helped<S, P> {
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
