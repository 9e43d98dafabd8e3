//! Frames on their way out: filled by the thread, queued, and in flight until their sends complete.
//!
//! Knows no address and no transport: what is lost here, the transport sends again.

use std::io;

use io_uring::{IoUring, opcode};

use super::{
    gathered::Gathered,
    operation::{self, Operation},
    setup::frames_file,
};
use crate::{
    driver::{FrameSocket, Hole, Interface, LinkCounters, LinkError, tx::TxPool},
    limits::TX_BUFFERS_MAX,
};

/// The send buffers, and the sends that the kernel has of them.
#[derive(Debug)]
pub(super) struct Transmission {
    buffers: TxPool,
    /// Through which port each buffer left.
    ports: Vec<u8>,
    /// Frames that leave before what is in the ring.
    gathered: Gathered,
}

/// A run of frames that does not go through the ring was handed over.
pub(super) struct HandedOver {
    pub(super) port: u8,
    pub(super) count: usize,
    /// An error if the interface has gone.
    pub(super) outcome: Result<(), LinkError>,
}

impl Transmission {
    /// Makes buffers for frames of up to `frame_len_max` bytes.
    ///
    /// # Errors
    /// Not enough memory.
    pub(super) fn new(frame_len_max: usize) -> io::Result<Transmission> {
        let buffers = TxPool::new(frame_len_max)?;
        let ports = vec![0; TX_BUFFERS_MAX];
        let gathered = Gathered::new();
        Ok(Transmission {
            buffers,
            ports,
            gathered,
        })
    }

    /// The buffer to fill next; `None` while all are in flight.
    pub(super) fn open(&mut self) -> Option<&mut [u8]> {
        self.buffers.open()
    }

    /// Queues the first `len` bytes of the open buffer, to leave through a port.
    ///
    /// # Panics
    /// No buffer is open, or it is shorter.
    pub(super) fn queue(
        &mut self,
        ring: &mut IoUring,
        port: u8,
        len: usize,
        counters: &mut LinkCounters,
    ) {
        if self.gathered.port() == Some(port) {
            let slot = self.buffers.close_whole(len);
            return self.gathered.push(port, slot, self.buffers.header(slot));
        }
        let frame = self.buffers.close(len);
        self.ports[usize::from(frame.slot)] = port;
        // With MSG_DONTWAIT a send never stays in the kernel waiting for room: a full queue is a failed
        // send, which the transport repairs like any loss.
        let send = opcode::Send::new(frames_file(port), frame.bytes, frame.len)
            .flags(libc::MSG_DONTWAIT)
            .build();
        // SAFETY: the bytes stay in the pool, which neither changes nor frees a buffer in flight;
        // `completed` ends the flight.
        if unsafe { operation::push(ring, Operation::Send(frame.slot), send) }.is_err() {
            self.buffers.complete(frame.slot);
            counters.sends_failed += 1;
        }
    }

    /// As [`Transmission::queue`], for a frame some of whose bytes are elsewhere: the kernel gathers them. If it
    /// `is_first`, and nothing is in the ring that would leave later, it begins a run that does not go through the ring, in
    /// which those behind it through the same port follow.
    ///
    /// # Panics
    /// As [`Transmission::queue`], or the hole is not inside the frame.
    pub(super) fn queue_with_hole(
        &mut self,
        ring: &mut IoUring,
        port: u8,
        len: usize,
        hole: Hole,
        is_first: bool,
        counters: &mut LinkCounters,
    ) {
        let frame = self.buffers.close_with_hole(len, hole);
        if is_first || self.gathered.port() == Some(port) {
            let header = self.buffers.header(frame.slot);
            return self.gathered.push(port, frame.slot, header);
        }
        self.ports[usize::from(frame.slot)] = port;
        let send = opcode::SendMsg::new(frames_file(port), frame.header)
            .flags(libc::MSG_DONTWAIT as u32)
            .build();
        // SAFETY: as in `queue`; besides, the pool keeps header and parts of the frame in one place, untouched, and
        // the bytes in the hole mapped, until `completed`. Another process may change those bytes meanwhile: the
        // kernel copies whatever is there.
        if unsafe { operation::push(ring, Operation::Send(frame.slot), send) }.is_err() {
            self.buffers.complete(frame.slot);
            counters.sends_failed += 1;
        }
    }

    /// Hands over the frames that do not go through the ring; `None` if there are none.
    pub(super) fn send_gathered(
        &mut self,
        sockets: &[FrameSocket],
        counters: &mut [LinkCounters],
    ) -> Option<HandedOver> {
        let port = self.gathered.port()?;
        let at = usize::from(port);
        let (socket, counters) = (&sockets[at], &mut counters[at]);
        // SAFETY: the headers are those of buffers that are closed and not completed: until then the pool keeps header,
        // parts and frame in one place, untouched, and the bytes in the hole mapped. Another process may change those
        // bytes meanwhile: the kernel copies whatever is there.
        let outcome = unsafe { self.gathered.send(socket) };
        let mut count = 0;
        for slot in self.gathered.take_slots() {
            self.buffers.complete(slot);
            count += 1;
        }
        counters.frames_sent += outcome.frames;
        counters.bytes_sent += outcome.bytes;
        counters.sends_failed += outcome.refused;
        let outcome = match outcome.refused {
            0 => Ok(()),
            _ => socket.interface.still_there_after(outcome.errno),
        };
        Some(HandedOver {
            port,
            count,
            outcome,
        })
    }

    /// The port that the send from this buffer goes through.
    pub(super) fn port_of(&self, slot: u16) -> u8 {
        self.ports[usize::from(slot)]
    }

    /// A send of [`Transmission::queue`] has completed with this result.
    ///
    /// # Errors
    /// The interface has gone.
    pub(super) fn completed(
        &mut self,
        slot: u16,
        result: i32,
        interface: &Interface,
        counters: &mut LinkCounters,
    ) -> Result<(), LinkError> {
        self.buffers.complete(slot);
        if let Ok(len) = u64::try_from(result) {
            counters.frames_sent += 1;
            counters.bytes_sent += len;
            return Ok(());
        }
        counters.sends_failed += 1;
        interface.still_there_after(-result)
    }

    /// Sends that the kernel has.
    pub(super) fn in_flight(&self) -> usize {
        self.buffers.in_flight()
    }

    /// Gives the buffers up for good, because the kernel may still read them.
    pub(super) fn leak(&mut self) {
        self.buffers.leak();
    }
}
