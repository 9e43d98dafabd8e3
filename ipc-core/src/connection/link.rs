//! One connection, as the client holds it.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{
    abi::{ChannelFlags, Errno, PulseCode, Result, ServerInfo},
    channel,
    connection::{
        completions::Seat,
        events::Events,
        posting::{Posting, Ticket},
        unsaid::Unsaid,
    },
    process::{Life, Monitor, Next, Watch, WatchId, control::EVENT_LEN},
    shm::{Doorbell, Region, SlotState, Waited},
    spin::Spin,
    sys::{
        clock,
        descriptor::Descriptor,
        failpoint::{self, Failpoint},
        futex::Wake,
        mutex::lock,
        seqpacket::Seqpacket,
    },
};

/// What the connection, its loans and the monitor share.
pub(super) struct Link {
    pub(super) region: Region,
    pub(super) info: ServerInfo,
    pub(super) channel_flags: ChannelFlags,
    pub(super) spin: Spin,
    pub(super) socket: Seqpacket,
    doorbell: Doorbell,
    bit: u32,
    /// The server runs as another user.
    foreign: bool,
    seat: Option<Seat>,
    posting: Mutex<Posting>,
    pub(super) freed: Condvar,
    life: AtomicU32,
    /// Threads that sleep on a slot, or are about to.
    sleepers: AtomicU32,
    process: Life,
    watch: OnceLock<WatchId>,
    at_end: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    pub(super) events: Events,
    pub(super) unsaid: Unsaid,
}

/// What a link is made of.
pub(super) struct LinkParts {
    pub(super) region: Region,
    pub(super) socket: Seqpacket,
    pub(super) info: ServerInfo,
    pub(super) channel_flags: ChannelFlags,
    pub(super) doorbell: Doorbell,
    pub(super) bit: u32,
    pub(super) foreign: bool,
    pub(super) seat: Option<Seat>,
}

const LIVE: u32 = 0;
const SERVER_GONE: u32 = 1;
const DETACHED: u32 = 2;

/// Time for the woken to leave before they are woken again.
const INTERRUPT_PAUSE: Duration = Duration::from_micros(50);

impl Link {
    /// Puts the link under the monitor's watch.
    pub(super) fn start(parts: LinkParts) -> Result<Arc<Link>> {
        let link = Arc::new(Link {
            posting: Mutex::new(Posting::new(parts.region.layout())),
            region: parts.region,
            info: parts.info,
            channel_flags: parts.channel_flags,
            spin: Spin::from_environment(),
            socket: parts.socket,
            doorbell: parts.doorbell,
            bit: parts.bit,
            foreign: parts.foreign,
            seat: parts.seat,
            freed: Condvar::new(),
            life: AtomicU32::new(LIVE),
            sleepers: AtomicU32::new(0),
            process: Life::current(),
            watch: OnceLock::new(),
            at_end: Mutex::new(Vec::new()),
            events: Events::default(),
            unsaid: Unsaid::default(),
        });
        if let Some(seat) = &link.seat {
            seat.take(&link);
        }
        let watch: Arc<dyn Watch> = Arc::<Link>::clone(&link);
        let id = Monitor::current()?.add(watch)?;
        link.watch.set(id).expect("invariant: started once");
        failpoint::pass(Failpoint::AttachDone);
        Ok(link)
    }

    /// # Errors
    /// `EBADF` once the connection ended, and in a forked child, which has no part in the region.
    #[inline]
    pub(super) fn check_live(&self) -> Result<()> {
        match self.life.load(Ordering::Acquire) {
            LIVE if self.process.is_current() => Ok(()),
            _ => Err(Errno::EBADF),
        }
    }

    /// Why a thread that was blocked when the connection ended is no longer (SND-5, CHN-7).
    pub(super) fn end_error(&self) -> Errno {
        match self.life.load(Ordering::Acquire) {
            DETACHED => Errno::EBADF,
            _ => Errno::ESRCH,
        }
    }

    /// # Errors
    /// `EINVAL` for a code of the system, `EBADF`, `EPERM` for a server of another user unless privileged
    /// (PLS-3).
    pub(super) fn check_pulse(&self, code: PulseCode) -> Result<()> {
        if !code.is_application() {
            return Err(Errno::EINVAL);
        }
        self.check_live()?;
        if self.foreign && !nix::unistd::geteuid().is_root() {
            Err(Errno::EPERM)
        } else {
            Ok(())
        }
    }

    /// Tells the server's process something.
    ///
    /// # Errors
    /// `EAGAIN` when it has no room for that now; `EPIPE` and its like when it hung up.
    pub(super) fn tell_server(&self, record: &[u8]) -> Result<()> {
        self.socket.try_send(record, &[])
    }

    /// Whether the connection ended, for whatever reason.
    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        self.life.load(Ordering::Acquire) != LIVE
    }

    /// Whether nothing more will come for a ticket.
    #[inline]
    pub(super) fn is_over(&self, ticket: &Ticket) -> bool {
        self.region.is_done(ticket.slot, ticket.generation) || self.has_ended()
    }

    /// Sleeps until the slot says more than `known`, or the connection ends; see
    /// [`Region::wait_slot`].
    pub(super) fn sleep(
        &self,
        ticket: &Ticket,
        known: SlotState,
        deadline_ns: Option<u64>,
    ) -> Result<Waited> {
        // SYNC(life): the count goes up before the sleeper looks at `life`; `end` changes `life` before
        // it looks at the count. One of the two sees the other.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let may_sleep = || self.life.load(Ordering::SeqCst) == LIVE && !self.region.is_ended();
        let (slot, generation) = (ticket.slot, ticket.generation);
        let waited = self
            .region
            .wait_slot(slot, generation, known, deadline_ns, may_sleep);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        self.heed_end();
        waited
    }

    /// Ends a connection whose server said so, should the hang-up not have told: see [`Region::end`].
    pub(super) fn heed_end(&self) {
        // The server may keep its socket open for ever. Ours hangs up, which the monitor sees, and it does the
        // rest: the caller may hold locks that what is to be done at the end takes.
        if self.region.is_ended() && self.end(SERVER_GONE) && !self.socket.shutdown() {
            self.unwatch();
            self.act_at_end();
        }
    }

    /// Tells the server that something was posted; answers whether it slept, and was woken.
    pub(super) fn ring(&self) -> bool {
        self.doorbell.ring(self.bit)
    }

    /// As [`ring`](Self::ring), but leaves the waking to the caller.
    pub(super) fn owed_ring(&self) -> Option<Wake> {
        self.doorbell.owed_ring(self.bit)
    }

    /// Makes the completion queue look at this connection.
    pub(super) fn ring_queue(&self) {
        if let Some(seat) = &self.seat {
            seat.ring();
        }
    }

    /// Whether the server wants to know when things were posted.
    #[inline]
    pub(super) fn wants_stamp(&self) -> bool {
        self.doorbell.wants_stamp()
    }

    /// The time, if the server wants to know when things were posted.
    #[inline]
    pub(super) fn stamp(&self) -> u64 {
        if self.wants_stamp() {
            clock::monotonic_ns()
        } else {
            0
        }
    }

    #[inline]
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process.is_current()
    }

    pub(super) fn posting(&self) -> MutexGuard<'_, Posting> {
        lock(&self.posting)
    }

    pub(super) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    pub(super) fn on_end(&self, act: Box<dyn FnOnce() + Send>) {
        if !self.process.is_current() {
            // For a forked child it has ended, and the lock may be as some thread of its parent held it.
            return act();
        }
        let mut at_end = lock(&self.at_end);
        if self.check_live().is_ok() {
            at_end.push(act);
        } else {
            drop(at_end);
            act();
        }
    }

    pub(super) fn detach(&self) {
        // In a forked child the connection is the parent's: closing our descriptor is all.
        if self.process.is_current() && self.end(DETACHED) {
            failpoint::pass(Failpoint::DetachBegun);
            self.socket.shutdown();
            failpoint::pass(Failpoint::DetachToldServer);
            self.unwatch();
            self.act_at_end();
        }
    }

    /// What the monitor calls it, once it looks after it.
    pub(super) fn watch_id(&self) -> Option<WatchId> {
        self.watch.get().copied()
    }

    fn unwatch(&self) {
        if let (Some(id), Ok(monitor)) = (self.watch_id(), Monitor::current()) {
            monitor.remove(id);
        }
    }

    /// Ends the connection once: every blocked thread leaves. Answers whether it was live.
    fn end(&self, why: u32) -> bool {
        let first = self
            .life
            .compare_exchange(LIVE, why, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok();
        if !first {
            return false;
        }
        self.interrupt_sleepers();
        drop(self.posting());
        self.freed.notify_all();
        self.ring_queue();
        if why == SERVER_GONE {
            channel::coid_died(self.info.coid);
        }
        true
    }

    /// Does what was to be done at the end, which has come.
    fn act_at_end(&self) {
        let at_end = std::mem::take(&mut *lock(&self.at_end));
        for act in at_end {
            // Its panic was reported; the monitor thread, which may be the one that runs it, has others to see
            // to.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        }
    }

    /// Sees every sleeper off. A server that goes on scribbling cannot send one back to sleep for good:
    /// each wake-up makes it look at `life`, which is not in the region.
    fn interrupt_sleepers(&self) {
        while self.sleepers.load(Ordering::SeqCst) > 0 {
            (0..self.region.layout().slots()).for_each(|slot| self.region.interrupt(slot));
            std::thread::sleep(INTERRUPT_PAUSE);
        }
    }
}

impl Watch for Link {
    fn fd(&self) -> &Descriptor {
        self.socket.fd()
    }

    fn overdue(self: Arc<Self>) -> Next {
        Next::Keep
    }

    fn wants_room(&self) -> bool {
        self.has_unsaid()
    }

    fn ready(self: Arc<Self>, _: WatchId) -> Next {
        self.say_one();
        let mut bytes = [0; EVENT_LEN];
        match self.socket.try_receive(&mut bytes) {
            Err(Errno::EAGAIN) => Next::Keep,
            Ok(record) if record.len > 0 && self.server_says(&bytes[..record.len]) => Next::Keep,
            // A hang-up, or what no honest server sends.
            _ => {
                self.end(SERVER_GONE);
                self.act_at_end();
                Next::Remove
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("info", &self.info)
            .field("live", &self.check_live())
            .finish()
    }
}
