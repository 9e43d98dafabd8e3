//! The io_uring of the network-handler thread: frames, doorbells and the sleep, in one system call.
//!
//! ```text
//! setup       the kernel's ring, and what this kernel can do
//! operation   an entry into the ring, and what a completion is about
//! send        frames in flight                   TxPool
//! receive     the multishot receive              RxRing
//! interrupts  the read of the poke, and          Bells
//!             the wait on the doorbells' words
//! wait        one round: arm, sleep, reap        Alarm
//! teardown    everything ended, or leaked
//! ```
//!
//! Each part that lends memory to the kernel owns that memory and knows whether the kernel has it. None
//! knows what is in a frame beyond its Ethernet header.
//!
//! The invariant: a part that has armed an operation keeps its memory where it is, and untouched, until it
//! was told of the completion; [`RingLink`]'s drop either brings that about or leaks the memory.

mod interrupts;
mod operation;
mod receive;
mod send;
mod setup;
mod teardown;
mod wait;

use std::time::Duration;

use io_uring::IoUring;

use self::{
    interrupts::{BellWait, PokeRead},
    receive::Reception,
    send::Transmission,
};
use crate::driver::{
    Doorbell, ETHERNET_HEADER_LEN, FrameSocket, Link, LinkCounters, LinkError, Mac, Poke,
    alarm::Alarm, bells::Bells,
};

/// A link whose frames go through one io_uring.
///
/// It belongs to the thread that opened it: the ring serves a single submitter.
pub struct RingLink {
    ring: IoUring,
    socket: FrameSocket,
    transmission: Transmission,
    reception: Reception,
    bells: BellWait,
    poke: PokeRead,
    alarm: Alarm,
    counters: LinkCounters,
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
        RingLink::open_with(socket, poke, doorbells, setup::can_wait_for_futexes)
    }

    /// As [`RingLink::open`]; `waits_for_futexes` says whether the ring can sleep on doorbells itself.
    fn open_with(
        socket: FrameSocket,
        poke: Poke,
        doorbells: Vec<Box<dyn Doorbell>>,
        waits_for_futexes: fn(&IoUring) -> bool,
    ) -> Result<RingLink, LinkError> {
        let ring = setup::open(&socket, &poke)?;
        let frame_len_max = ETHERNET_HEADER_LEN + socket.interface.mtu;
        let transmission = Transmission::new(frame_len_max).map_err(LinkError::Ring)?;
        let reception = Reception::new(frame_len_max).map_err(LinkError::Ring)?;
        let bells =
            Bells::new(doorbells, waits_for_futexes(&ring), &poke).map_err(LinkError::Ring)?;
        let mut link = RingLink {
            ring,
            socket,
            transmission,
            reception,
            bells: BellWait::new(bells),
            poke: PokeRead::new(poke),
            alarm: Alarm::default(),
            counters: LinkCounters::default(),
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
        self.socket.interface.mac
    }

    fn mtu(&self) -> usize {
        self.socket.interface.mtu
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        self.transmission.open()
    }

    fn queue(&mut self, len: usize) {
        self.transmission
            .queue(&mut self.ring, len, &mut self.counters);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        self.round(timeout)
    }

    fn next_frame(&mut self) -> Option<&[u8]> {
        self.reception.next_frame(&self.socket, &mut self.counters)
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests;
