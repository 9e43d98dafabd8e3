//! The monitor thread: owns nothing but the watch over control sockets, so that a hang-up is seen at
//! once and without polling.
//!
//! It never waits for a peer: every watch answers without blocking.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::abi::{Errno, Result};

/// Something with a descriptor that the monitor looks after.
pub(crate) trait Watch: Send + Sync {
    /// The descriptor; the same one for as long as the watch is on.
    fn fd(&self) -> BorrowedFd<'_>;

    /// The descriptor is readable or hung up. Runs on the monitor thread and must not block, and takes
    /// one thing at a time: what is left is ready again, after all others had their turn, so that a
    /// peer that never stops sending holds up nobody.
    fn ready(self: Arc<Self>, id: WatchId) -> Next;
}

/// Names a watch for as long as it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WatchId(u64);

/// What the monitor does with a watch that was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Keep,
    Remove,
}

/// The process's monitor. A forked child gets one of its own with its first watch.
pub(crate) struct Monitor {
    epoll: Epoll,
    watches: Mutex<HashMap<WatchId, Arc<dyn Watch>>>,
    next_id: AtomicU64,
}

impl Monitor {
    /// The monitor of this process, started if this is the first use.
    pub(crate) fn current() -> Result<Arc<Monitor>> {
        static CURRENT: Mutex<Option<(u32, Arc<Monitor>)>> = Mutex::new(None);
        let mut current = lock(&CURRENT);
        let pid = std::process::id();
        match &*current {
            Some((owner, monitor)) if *owner == pid => Ok(Arc::clone(monitor)),
            inherited => {
                // The parent's watches belong to the parent: leaking them here closes nothing of its.
                std::mem::forget(inherited.clone());
                let monitor = Monitor::start()?;
                *current = Some((pid, Arc::clone(&monitor)));
                Ok(monitor)
            }
        }
    }

    fn start() -> Result<Arc<Monitor>> {
        let monitor = Arc::new(Monitor {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            watches: Mutex::new(HashMap::new()),
            next_id: AtomicU64::new(1),
        });
        let runner = Arc::clone(&monitor);
        std::thread::Builder::new()
            .name("ipc-monitor".into())
            .stack_size(256 << 10)
            .spawn(move || runner.run())
            .map_err(|error| Errno::of(&error))?;
        Ok(monitor)
    }

    /// Looks after `watch` until it answers [`Next::Remove`] or is [`remove`](Self::remove)d.
    pub(crate) fn add(&self, watch: Arc<dyn Watch>) -> Result<WatchId> {
        let id = WatchId(self.next_id.fetch_add(1, Ordering::Relaxed));
        lock(&self.watches).insert(id, Arc::clone(&watch));
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        if let Err(error) = self.epoll.add(watch.fd(), EpollEvent::new(interest, id.0)) {
            lock(&self.watches).remove(&id);
            return Err(error.into());
        }
        Ok(id)
    }

    /// Ends a watch; it may still be in the middle of its last `ready`.
    pub(crate) fn remove(&self, id: WatchId) {
        let watch = lock(&self.watches).remove(&id);
        if let Some(watch) = watch {
            // The descriptor is open as long as the watch lives, so this fails only for a watch whose
            // registration never succeeded, and then there is nothing to take back.
            let _ = self.epoll.delete(watch.fd().as_fd());
        }
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => panic!("invariant: epoll on our own descriptor cannot fail: {error}"),
            };
            for event in &events[..count] {
                let id = WatchId(event.data());
                let watch = lock(&self.watches).get(&id).map(Arc::clone);
                if let Some(watch) = watch
                    && watch.ready(id) == Next::Remove
                {
                    self.remove(id);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
