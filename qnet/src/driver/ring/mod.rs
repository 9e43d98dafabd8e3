//! The io_uring of the network-handler thread: frames, doorbells and the sleep, in one system call.
//!
//! ```text
//! setup       the kernel's ring, and what this kernel can do
//! operation   an entry into the ring, and what a completion is about
//! send        frames in flight                   TxPool
//! gathered    frames with one call of their own
//! receive     the multishot receive              RxRing
//! peeked      long frames, received one by one
//! run         frames taken while they come densely
//! interrupts  the read of the poke, and          Bells
//!             the waits on the doorbells' words
//! carrier     the receive of news of carriers
//! wait        one round: arm, sleep, reap        Alarms
//! spin        looking before the sleep
//! teardown    everything ended, or leaked
//! ```
//!
//! Each part that lends memory to the kernel owns that memory and knows whether the kernel has it. None
//! knows what is in a frame beyond its Ethernet header.
//!
//! The invariant: a part that has armed an operation keeps its memory where it is, and untouched, until it
//! was told of the completion; [`RingLink`]'s drop either brings that about or leaks the memory.

mod carrier;
mod gathered;
mod interrupts;
mod operation;
mod peeked;
mod receive;
mod run;
mod send;
mod setup;
mod spin;
mod teardown;
mod wait;
mod wakes;

use std::time::Duration;

use io_uring::IoUring;
use ipc_core::Wake;
use qnet_proto::{Histogram, LinkId, Time};

use self::{
    carrier::Carriers,
    interrupts::{BellWaits, PokeRead},
    receive::Reception,
    send::Transmission,
    wakes::Wakes,
};
use crate::driver::{
    Arrived, Doorbell, ETHERNET_HEADER_LEN, FrameSocket, Hole, Link, LinkCounters, LinkError, Mac,
    Poke, alarm::Alarms, bells::Bells, clock,
};

/// A link whose frames go through one io_uring.
///
/// It belongs to the thread that opened it: the ring serves a single submitter.
pub struct RingLink {
    ring: IoUring,
    /// One for each port.
    sockets: Vec<FrameSocket>,
    transmission: Transmission,
    reception: Reception,
    bells: BellWaits,
    poke: PokeRead,
    carriers: Carriers,
    alarms: Alarms,
    wakes: Wakes,
    /// One for each port, without the waits and what the kernel counts.
    counters: Vec<LinkCounters>,
    waits: u64,
    /// How long it looks for work before it sleeps.
    spin: Duration,
    /// The doorbells know of a sleep, and everything was looked for after they did.
    announced: bool,
    /// The thread says that nothing has changed but by rings since the last wait.
    nothing_changed: bool,
    /// Whether a doorbell may have rung since the last wait began.
    may_have_rung: bool,
    /// Frames queued since the last system call, for each port, and how many each call took of all.
    queued: Vec<usize>,
    batches: Histogram,
}

impl RingLink {
    /// Opens the ring on a frame socket. `poke` and `doorbells` interrupt its sleep.
    ///
    /// # Errors
    /// The kernel refuses io_uring or is too old for it, or memory is short.
    pub fn open(
        socket: FrameSocket,
        poke: Poke,
        doorbells: Vec<Box<dyn Doorbell>>,
    ) -> Result<RingLink, LinkError> {
        RingLink::open_ports(vec![socket], poke, doorbells)
    }

    /// As [`RingLink::open`], on several frame sockets: one for each port of the link.
    ///
    /// # Errors
    /// As [`RingLink::open`].
    ///
    /// # Panics
    /// Without a socket.
    pub fn open_ports(
        sockets: Vec<FrameSocket>,
        poke: Poke,
        doorbells: Vec<Box<dyn Doorbell>>,
    ) -> Result<RingLink, LinkError> {
        RingLink::open_with(sockets, poke, doorbells, setup::knows_futexes)
    }

    /// As [`RingLink::open_ports`]; `knows_futexes` says whether the ring can sleep on doorbells itself, and ring those
    /// of others.
    fn open_with(
        sockets: Vec<FrameSocket>,
        poke: Poke,
        doorbells: Vec<Box<dyn Doorbell>>,
        knows_futexes: fn(&IoUring) -> bool,
    ) -> Result<RingLink, LinkError> {
        let carriers = Carriers::new(&sockets);
        let ring = setup::open(&sockets, &poke, carriers.descriptor())?;
        let mtus = sockets.iter().map(|socket| socket.interface.mtu);
        let mtu = mtus.max().expect("a link has a port");
        let frame_len_max = ETHERNET_HEADER_LEN + mtu;
        let transmission = Transmission::new(frame_len_max).map_err(LinkError::Ring)?;
        let reception = Reception::new(&sockets).map_err(LinkError::Ring)?;
        let knows_futexes = knows_futexes(&ring);
        let bells = Bells::new(doorbells, knows_futexes, &poke).map_err(LinkError::Ring)?;
        let mut link = RingLink {
            ring,
            counters: vec![LinkCounters::default(); sockets.len()],
            queued: vec![0; sockets.len()],
            sockets,
            transmission,
            reception,
            bells: BellWaits::new(bells),
            poke: PokeRead::new(poke),
            carriers,
            alarms: Alarms::default(),
            wakes: Wakes::new(knows_futexes),
            waits: 0,
            spin: Duration::ZERO,
            announced: false,
            nothing_changed: false,
            may_have_rung: true,
            batches: Histogram::default(),
        };
        // SAFETY: `link` owns the buffers beside the ring, and its `drop` either finishes every operation
        // first or leaks them.
        unsafe { link.reception.register(&link.ring.submitter()) }
            .map_err(LinkError::RingRefused)?;
        Ok(link)
    }
}

impl Link for RingLink {
    fn mac(&self) -> Mac {
        self.sockets[0].interface.mac
    }

    fn mtu(&self) -> usize {
        let mtus = self.sockets.iter().map(|socket| socket.interface.mtu);
        mtus.max().expect("a link has a port")
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        self.transmission.open()
    }

    fn queue_to(&mut self, port: LinkId, len: usize) {
        self.queued[usize::from(port.0)] += 1;
        let counters = &mut self.counters[usize::from(port.0)];
        self.transmission
            .queue(&mut self.ring, port.0, len, counters);
    }

    fn queue_with_hole_to(&mut self, port: LinkId, len: usize, hole: Hole) {
        let is_first = self.queued.iter().all(|queued| *queued == 0);
        self.queued[usize::from(port.0)] += 1;
        let counters = &mut self.counters[usize::from(port.0)];
        self.transmission
            .queue_with_hole(&mut self.ring, port.0, len, hole, is_first, counters);
    }

    fn wake(&mut self, wakes: &[Wake]) {
        // Who is woken on this CPU may run at once, and ring: of a thread that is awake that asks no system call.
        self.retract();
        self.wakes.make(&mut self.ring, wakes);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        self.round(clock::now(), timeout)
    }

    fn wait_until(&mut self, now: Time, until: Option<Time>) -> Result<(), LinkError> {
        self.round(now, until.map(|until| until - now))
    }

    fn may_have_rung(&self) -> bool {
        self.may_have_rung
    }

    fn nothing_changed(&mut self) {
        self.nothing_changed = true;
    }

    fn rest(&mut self, span: Duration) -> Result<(), LinkError> {
        self.round_at_rest(span)
    }

    fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])> {
        let arrived = self.next_frame_placing(&mut |_, _| None)?;
        Some((arrived.port, arrived.frame))
    }

    fn next_frame_placing(
        &mut self,
        place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> Option<Arrived<'_>> {
        self.reception
            .next_frame(&self.sockets, &mut self.counters, place)
    }

    fn next_carrier(&mut self) -> Option<(LinkId, bool)> {
        self.carriers.next()
    }

    fn counters(&self) -> LinkCounters {
        let mut all = LinkCounters::default();
        for port in 0..self.sockets.len() {
            all.add(&self.counters_of(LinkId(port as u8)));
        }
        LinkCounters {
            waits: self.waits,
            batches: self.batches,
            ..all
        }
    }

    fn counters_of(&self, port: LinkId) -> LinkCounters {
        let at = usize::from(port.0);
        LinkCounters {
            waits: self.waits,
            overflowed: self.sockets[at].overflowed(),
            ..self.counters[at]
        }
    }
}

#[cfg(test)]
mod tests;
