//! Where the engine finds and places the bytes of messages: in the memory of clients and servers.
//!
//! Long parts of a frame are not copied into it. They stay where they are, as a hole in the frame, and the kernel
//! gathers them when it takes the frame. What a client changes meanwhile goes out changed: that is between it and
//! its server, as it is when the same bytes were lost and are sent again.
//!
//! Long parts of a frame that comes in are not in it either, where its first bytes told in time whose they are: the
//! kernel has put them into the room of the message, in the region of the connection that it came through.

use std::cell::{Cell, RefCell};

use ipc_core::{MappedBytes, Wake};
use qnet_proto::{Accept, Foreseen, InboundCall, InboundRun, Incoming, OutboundCall, OutboundRun};

use crate::{
    bridge::{inbound::Inbound, outbound::Outbound},
    driver::Hole,
    limits::{HOLE_LEN_MIN, READ_AHEAD_LEN_MIN},
};

/// Both directions, as the engine sees them.
pub(super) struct Store {
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    /// Where the frame that is being filled begins; `None` while none may have a hole.
    frame: Cell<Option<usize>>,
    /// What was left out of it.
    hole: RefCell<Option<Hole>>,
    /// What of the frame that is being taken was put where it belongs.
    placed: Option<Placed>,
}

/// Bytes of a message that are in place already.
struct Placed {
    call: InboundCall,
    offset: u32,
    bytes: MappedBytes,
}

impl Placed {
    /// Whether these are the bytes that were placed. A peer may send several fragments of one offset in a frame.
    fn is(&self, call: InboundCall, offset: u32, len: usize) -> bool {
        (self.call, self.offset, self.bytes.len()) == (call, offset, len)
    }
}

impl Store {
    pub(super) fn new(outbound: Outbound, inbound: Inbound) -> Store {
        Store {
            outbound,
            inbound,
            frame: Cell::new(None),
            hole: RefCell::new(None),
            placed: None,
        }
    }

    /// Where the kernel is to put bytes of a frame that is about to be received.
    pub(super) fn place(&mut self, foreseen: Foreseen) -> Option<Hole> {
        let Foreseen {
            call,
            offset,
            at,
            len,
        } = foreseen;
        let bytes = self.inbound.room(call, offset as usize, len)?;
        self.placed = Some(Placed {
            call,
            offset,
            bytes: bytes.clone(),
        });
        Some(Hole { at, bytes })
    }

    /// The frame was taken.
    pub(super) fn end_placing(&mut self) {
        self.placed = None;
    }

    /// A frame is about to be filled, which may have a hole.
    pub(super) fn begin_frame(&self, frame: &[u8]) {
        self.frame.set(Some(frame.as_ptr().addr()));
    }

    /// The frame is filled; answers what was left out of it.
    pub(super) fn end_frame(&self) -> Option<Hole> {
        self.frame.set(None);
        // Moved only if there is one: what is stored in parts and read as a whole waits until the payload that was just
        // copied has reached the cache.
        let mut hole = self.hole.borrow_mut();
        hole.as_ref()?;
        hole.take()
    }

    /// Leaves `into`, a part of the frame, out of it; `false` if it must be filled.
    fn leave_out(&self, into: &[u8], find: impl FnOnce() -> Option<MappedBytes>) -> bool {
        let Some(frame) = self.frame.get().filter(|_| into.len() >= HOLE_LEN_MIN) else {
            return false;
        };
        let mut hole = self.hole.borrow_mut();
        if hole.is_none() {
            let at = into.as_ptr().addr() - frame;
            *hole = find().map(|bytes| Hole { at, bytes });
            return hole.is_some();
        }
        false
    }
}

impl Store {
    /// Adds the wake-ups of local clients and servers that something was handed to and that sleep.
    pub(super) fn take_wakes(&mut self, into: &mut Vec<Wake>) {
        self.outbound.take_wakes(into);
        self.inbound.take_wakes(into);
    }
}

impl qnet_proto::Store for Store {
    fn read_message(&self, call: OutboundCall, offset: u32, into: &mut [u8]) {
        let offset = offset as usize;
        if self.leave_out(into, || self.outbound.mapped(call, offset, into.len())) {
            return;
        }
        let read = self.outbound.read(call, offset, into);
        if into.len() >= READ_AHEAD_LEN_MIN
            && let Some(message) = self.outbound.alone(call)
        {
            // Of the next frame, most likely: a long message does not fit the cache.
            message.will_read(offset + into.len(), into.len());
        }
        // A client that has died is about to be abandoned; nothing of other frames may go in its place.
        into[read..].fill(0);
    }

    fn read_run(&self, run: OutboundRun, at: u32, into: &mut [u8]) {
        let bytes = self.outbound.read_run(run, at);
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        // As with one by itself.
        into[len..].fill(0);
    }

    fn write_reply(&mut self, call: OutboundCall, offset: u32, bytes: &[u8]) {
        // Nobody of a crowd takes bytes.
        if let Some(message) = self.outbound.alone(call) {
            // The same: nobody waits for these bytes.
            let _ = message.write(offset as usize, bytes);
        }
    }

    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        self.inbound.accept(call, incoming)
    }

    fn accept_run(&mut self, run: InboundRun, incoming: &Incoming, bytes: &[u8]) -> bool {
        self.inbound.accept_run(run, incoming, bytes)
    }

    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]) {
        match &self.placed {
            None => self.inbound.write(call, offset as usize, bytes),
            Some(placed) if placed.is(call, offset, bytes.len()) => {}
            // Of another fragment behind the one that was placed, which may begin where that did: it is in the frame.
            Some(_) => self.inbound.write(call, offset as usize, bytes),
        }
    }

    fn read_reply(&self, call: InboundCall, offset: u32, into: &mut [u8]) {
        let find = || self.inbound.mapped(call, offset as usize, into.len());
        if self.leave_out(into, find) {
            return;
        }
        let read = self.inbound.read(call, offset as usize, into);
        into[read..].fill(0);
    }
}
