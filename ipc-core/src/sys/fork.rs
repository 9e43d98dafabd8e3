//! Forks: whether this is still the process that made a thing, and globals that no fork can leave locked.
//!
//! A child inherits descriptors but neither regions nor the monitor thread, so nothing that was made before the
//! fork works in it; it must find that out without touching memory that is not there. It inherits locks as the
//! other threads of its parent held them, too, and has nobody who would unlock them: what is global is behind a
//! pointer that each process exchanges for its own.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::sys::thread;

static FORKS: AtomicU32 = AtomicU32::new(0);

/// The life of a process from one fork to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life(u32);

impl Life {
    /// The current life; from the first call on, forks are noticed.
    pub(crate) fn current() -> Life {
        notice(&NOTICED, forked);
        Life(FORKS.load(Ordering::Relaxed))
    }

    /// Whether no fork lies between.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.0
    }
}

/// The process that made something, for what must not be touched anywhere else: told from a child also where the
/// C library's fork was gone round (another pid), and where the child has the same pid in a namespace of its own
/// (another life).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maker {
    life: Life,
    pid: u32,
}

impl Maker {
    pub(crate) fn current() -> Maker {
        Maker {
            life: Life::current(),
            pid: std::process::id(),
        }
    }

    /// Whether this is still the process; costs a system call.
    pub(crate) fn is_current(self) -> bool {
        self.life.is_current() && self.pid == std::process::id()
    }
}

static NOTICED: AtomicU32 = AtomicU32::new(0);

/// Has `act` run in every child from now on, before anything else does there. Threads that come here at the same
/// time may each have it run: nobody waits for another, who might not be there in a child.
pub(crate) fn notice(noticed: &AtomicU32, act: extern "C" fn()) {
    // Under Miri nothing forks, and there is nothing to ask.
    if !cfg!(miri) && noticed.load(Ordering::Acquire) == 0 {
        thread::at_fork_in_child(act);
        noticed.store(1, Ordering::Release);
    }
}

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// A global that is set without a lock, and that children inherit. What is replaced is never freed: it is for
/// what is set once or a few times.
#[derive(Debug)]
pub(crate) struct Lasting<T>(AtomicPtr<T>);

impl<T: Send + Sync> Lasting<T> {
    pub(crate) const fn new() -> Lasting<T> {
        Lasting(AtomicPtr::new(std::ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: null, or what `set` or `get_or_make` leaked and published with Release: it is valid for ever and
        // never changed; that other threads share it is what the bounds on `T` are for.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn set(&self, value: T) {
        self.0.store(leak(value), Ordering::Release);
    }

    /// What there is, if it is `good`, or else what `make` makes.
    pub(crate) fn get_or_make(
        &self,
        good: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> &'static T {
        let old = self.0.load(Ordering::Acquire);
        // SAFETY: as in `get`.
        if let Some(value) = unsafe { old.as_ref() }.filter(|value| good(value)) {
            return value;
        }
        let new = leak(make());
        let published = self
            .0
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        if let Err(others) = published {
            // SAFETY: leaked above, by this call, and given to nobody.
            drop(unsafe { Box::from_raw(new) });
            // SAFETY: as in `get`, and not null: nobody takes back what was published.
            return unsafe { &*others };
        }
        // SAFETY: leaked above, and never freed once it is published.
        unsafe { &*new }
    }
}

fn leak<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// A global of which each process has its own: a forked child finds the default one, with no lock held. What it
/// inherited is left as it is, for it stands for what is its parent's.
#[derive(Debug)]
pub(crate) struct PerLife<T>(Lasting<Made<T>>);

#[derive(Debug)]
struct Made<T> {
    life: Life,
    value: T,
}

impl<T: Default + Send + Sync> PerLife<T> {
    pub(crate) const fn new() -> PerLife<T> {
        PerLife(Lasting::new())
    }

    pub(crate) fn get(&'static self) -> &'static T {
        let made = self.0.get_or_make(
            |made| made.life.is_current(),
            || Made {
                life: Life::current(),
                value: T::default(),
            },
        );
        &made.value
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::sync::Mutex;

    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };

    use super::*;

    #[test]
    fn the_first_of_those_who_make_one_at_once_wins() {
        static ONE: PerLife<Mutex<Vec<usize>>> = PerLife::new();
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || ONE.get().lock().unwrap().push(number));
            }
        });
        assert_eq!(ONE.get().lock().unwrap().len(), 8);
    }

    #[test]
    fn a_child_finds_its_own_unlocked() {
        static ONE: PerLife<Mutex<u32>> = PerLife::new();
        static KEPT: Lasting<u32> = Lasting::new();
        let mut held = ONE.get().lock().unwrap();
        *held = 7;
        KEPT.set(8);
        // SAFETY: the child looks at two globals and ends, without running anything else of its parent's.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let own = ONE.get().try_lock().is_ok_and(|own| *own == 0);
                let fine = own && KEPT.get() == Some(&8);
                // SAFETY: ends the process.
                unsafe { libc::_exit(i32::from(!fine)) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            }
        }
        drop(held);
        assert_eq!(*ONE.get().lock().unwrap(), 7);
    }
}
