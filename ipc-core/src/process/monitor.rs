//! The monitor thread: owns nothing but the watch over control sockets, so that a hang-up is seen at
//! once and without polling.
//!
//! It never waits for a peer: every watch answers without blocking. Idle, it sleeps without a time limit; only
//! what has not settled yet has one. A program that closes its descriptors ends it; the next one takes over what
//! is still open, and ends the other watches.

use std::{
    collections::{BTreeSet, HashMap},
    os::fd::AsFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    abi::{Errno, Result},
    sys::{
        clock,
        descriptor::Descriptor,
        epoll::{Epoll, Interest},
        fork::PerLife,
        mutex::lock,
        own_thread,
    },
};

/// Something with a descriptor that the monitor looks after.
pub(crate) trait Watch: Send + Sync {
    /// The descriptor; the same one for as long as the watch is on.
    fn fd(&self) -> &Descriptor;

    /// The descriptor is readable, writable after [`Next::AwaitRoom`], hung up or no longer ours. Runs on the
    /// monitor thread and must not block, and takes one thing at a time: what is left is ready again, after
    /// all others had their turn, so that a peer that never stops sending holds up nobody.
    fn ready(self: Arc<Self>, id: WatchId) -> Next;

    /// The time is over that the watch was added with, or that it rested for.
    fn overdue(self: Arc<Self>) -> Next;

    /// Whether it is to be told of room to write, besides what it goes on reading. Asked after each
    /// [`ready`](Self::ready), and by [`Monitor::wants_room`].
    fn wants_room(&self) -> bool {
        false
    }
}

/// Names a watch, and never another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WatchId(u64);

#[cfg(test)]
impl WatchId {
    pub(crate) fn for_test(number: u64) -> WatchId {
        WatchId(number)
    }
}

/// What the monitor does with a watch that was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Goes on reading, within what is left of its time.
    Keep,
    /// Goes on reading, with no time limit any more.
    Settled,
    /// Goes on once there is room to write.
    AwaitRoom,
    /// Is left alone so long, and then [`Watch::overdue`].
    Rest(Duration),
    Remove,
}

/// The process's monitor. A forked child gets one of its own with its first watch.
pub(crate) struct Monitor {
    epoll: Epoll,
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    by_id: HashMap<WatchId, Watched>,
    /// Those with a time limit, soonest first.
    due: BTreeSet<(u64, WatchId)>,
}

struct Watched {
    watch: Arc<dyn Watch>,
    interest: Interest,
    due_ns: Option<u64>,
}

/// The monitor of now; it may be lost.
static CURRENT: PerLife<Mutex<Option<Arc<Monitor>>>> = PerLife::new();

/// Time until a monitor that could not replace its lost epoll tries again.
const SUCCESSION_REST: Duration = Duration::from_millis(100);

impl Monitor {
    /// The monitor of this process, started if this is the first use or its descriptors were closed under it.
    pub(crate) fn current() -> Result<Arc<Monitor>> {
        let mut current = lock(CURRENT.get());
        if let Some(monitor) = current.as_ref().filter(|monitor| !monitor.epoll.is_lost()) {
            return Ok(Arc::clone(monitor));
        }
        let heir = Heir::of(current.as_deref())?;
        let monitor = Arc::clone(&heir.monitor);
        let builder = std::thread::Builder::new()
            .name("ipc-monitor".into())
            .stack_size(256 << 10);
        own_thread::start(builder, move || heir.run()).map_err(|error| Errno::of(&error))?;
        Monitor::replace(&mut current, &monitor);
        Ok(monitor)
    }

    /// Makes `heir` the monitor of this process; what a lost one watched is its own by now.
    fn replace(current: &mut Option<Arc<Monitor>>, heir: &Arc<Monitor>) {
        if let Some(lost) = current.replace(Arc::clone(heir)) {
            *lock(&lost.watches) = Watches::default();
        }
    }

    /// Looks after `watch` until it answers [`Next::Remove`] or is [`remove`](Self::remove)d.
    pub(crate) fn add(&self, watch: Arc<dyn Watch>) -> Result<WatchId> {
        self.add_until(watch, None)
    }

    /// As [`add`](Self::add), with a time limit. With one, on the monitor thread only: another thread's would
    /// not shorten a sleep that the monitor is in.
    pub(crate) fn add_until(
        &self,
        watch: Arc<dyn Watch>,
        limit: Option<Duration>,
    ) -> Result<WatchId> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = WatchId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let mut watches = lock(&self.watches);
        self.epoll
            .add(watch.fd().as_fd(), Interest::Readable, id.0)?;
        let watched = Watched {
            watch,
            interest: Interest::Readable,
            due_ns: None,
        };
        watches.by_id.insert(id, watched);
        watches.set_due(id, limit.map(clock::deadline_ns));
        Ok(id)
    }

    /// Ends a watch; it may still be in the middle of its last `ready`.
    pub(crate) fn remove(&self, id: WatchId) {
        let watched = lock(&self.watches).take(id);
        if let Some(watched) = watched {
            // This fails only when the program closed the descriptor, and then nothing is to be taken back.
            let _ = self.epoll.delete(watched.watch.fd().as_fd());
        }
    }

    /// Whether a watch is on.
    pub(crate) fn has(&self, id: WatchId) -> bool {
        lock(&self.watches).by_id.contains_key(&id)
    }

    /// Asks a watch again whether it [wants room](Watch::wants_room); from any thread.
    pub(crate) fn wants_room(&self, id: WatchId) {
        let mut watches = lock(&self.watches);
        if let Some(watched) = watches.by_id.get_mut(&id)
            && watched.watch.wants_room()
        {
            self.show_interest(id, watched, Interest::Either);
        }
    }

    /// Until the program closes its descriptors.
    fn run(&self) {
        let mut ready = Vec::new();
        loop {
            let timeout = self.end_overdue();
            ready.clear();
            match self.epoll.wait(timeout, &mut ready) {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            for id in ready.iter().copied().map(WatchId) {
                let watch = lock(&self.watches).watch(id);
                if let Some(watch) = watch {
                    self.follow(id, watch.ready(id));
                }
            }
        }
    }

    /// Tells every watch whose time is over; answers how long the next has.
    fn end_overdue(&self) -> Option<Duration> {
        loop {
            let due = lock(&self.watches).pop_due(clock::monotonic_ns());
            match due {
                Due::Now(id, watch) => self.follow(id, watch.overdue()),
                Due::In(left) => return left,
            }
        }
    }

    fn follow(&self, id: WatchId, next: Next) {
        let (interest, due) = match next {
            Next::Keep => (Interest::Readable, None),
            Next::Settled => (Interest::Readable, Some(None)),
            Next::AwaitRoom => (Interest::Writable, None),
            Next::Rest(time) => (Interest::Nothing, Some(Some(clock::deadline_ns(time)))),
            Next::Remove => return self.remove(id),
        };
        let mut watches = lock(&self.watches);
        if let Some(due) = due {
            watches.set_due(id, due);
        }
        if let Some(watched) = watches.by_id.get_mut(&id) {
            // Under the lock, as in `wants_room`: what comes to want room after this look asks afterwards.
            let interest = match interest {
                Interest::Readable if watched.watch.wants_room() => Interest::Either,
                other => other,
            };
            self.show_interest(id, watched, interest);
        }
    }

    fn show_interest(&self, id: WatchId, watched: &mut Watched, interest: Interest) {
        if watched.interest != interest {
            watched.interest = interest;
            // As in `remove`: the program closed it, and the watch notices when it is used.
            let fd = watched.watch.fd().as_fd();
            let _ = self.epoll.change(fd, interest, id.0);
        }
    }
}

/// A monitor that comes after a lost one, or is the first.
struct Heir {
    monitor: Arc<Monitor>,
    /// Watches of the lost one whose descriptors the program closed, too.
    orphans: Vec<(WatchId, Arc<dyn Watch>)>,
}

impl Heir {
    /// Makes a monitor that looks after everything of `lost` that is still open, which is still that one's, too.
    fn of(lost: Option<&Monitor>) -> Result<Heir> {
        let epoll = Epoll::new()?;
        let mut watches = Watches::default();
        let mut orphans = Vec::new();
        let lost = lost.map(|lost| lock(&lost.watches));
        for (id, watched) in lost.iter().flat_map(|lost| &lost.by_id) {
            let watch = Arc::clone(&watched.watch);
            if watch.fd().raw().is_err() {
                orphans.push((*id, watch));
                continue;
            }
            epoll.add(watch.fd().as_fd(), watched.interest, id.0)?;
            let (interest, due_ns) = (watched.interest, watched.due_ns);
            let same = Watched {
                watch,
                interest,
                due_ns: None,
            };
            watches.by_id.insert(*id, same);
            watches.set_due(*id, due_ns);
        }
        let watches = Mutex::new(watches);
        let monitor = Arc::new(Monitor { epoll, watches });
        Ok(Heir { monitor, orphans })
    }

    fn run(self) {
        let mut heir = Some(self);
        while let Some(Heir { monitor, orphans }) = heir {
            // Each finds out that its descriptor is not there, and ends.
            for (id, watch) in orphans {
                watch.ready(id);
            }
            monitor.run();
            heir = Heir::after(&monitor);
        }
    }

    /// The monitor after `lost`, on the same thread, unless there is another one by now.
    fn after(lost: &Arc<Monitor>) -> Option<Heir> {
        loop {
            let mut current = lock(CURRENT.get());
            if !current.as_ref().is_some_and(|now| Arc::ptr_eq(now, lost)) {
                return None;
            }
            if let Ok(heir) = Heir::of(Some(lost)) {
                Monitor::replace(&mut current, &heir.monitor);
                return Some(heir);
            }
            // No descriptor, or no memory: there may be some soon, and nobody else sees to the clients.
            drop(current);
            std::thread::sleep(SUCCESSION_REST);
        }
    }
}

/// What is due.
enum Due {
    Now(WatchId, Arc<dyn Watch>),
    /// Nothing yet; something after so long.
    In(Option<Duration>),
}

impl Watches {
    fn watch(&self, id: WatchId) -> Option<Arc<dyn Watch>> {
        Some(Arc::clone(&self.by_id.get(&id)?.watch))
    }

    fn take(&mut self, id: WatchId) -> Option<Watched> {
        self.set_due(id, None);
        self.by_id.remove(&id)
    }

    fn set_due(&mut self, id: WatchId, due_ns: Option<u64>) {
        let Some(watched) = self.by_id.get_mut(&id) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut watched.due_ns, due_ns) {
            self.due.remove(&(old, id));
        }
        self.due.extend(due_ns.map(|due| (due, id)));
    }

    fn pop_due(&mut self, now_ns: u64) -> Due {
        match self.due.first().copied() {
            Some((due_ns, id)) if due_ns <= now_ns => {
                self.set_due(id, None);
                let watch = self.watch(id).expect("invariant: what is due is watched");
                Due::Now(id, watch)
            }
            soonest => Due::In(soonest.map(|(due_ns, _)| Duration::from_nanos(due_ns - now_ns))),
        }
    }
}
