//! Where the engine finds and places the bytes of messages: in the memory of clients and servers.

use qnet_proto::{Accept, InboundCall, Incoming, OutboundCall};

use crate::bridge::{inbound::Inbound, outbound::Outbound};

/// Both directions, as the engine sees them.
pub(super) struct Store {
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
}

impl qnet_proto::Store for Store {
    fn read_message(&self, call: OutboundCall, offset: u32, into: &mut [u8]) {
        let message = self.outbound.message(call);
        let read = message.map_or(Ok(0), |message| message.read(offset as usize, into));
        // A client that has died is about to be abandoned; nothing of other frames may go in its place.
        into[read.unwrap_or(0)..].fill(0);
    }

    fn write_reply(&mut self, call: OutboundCall, offset: u32, bytes: &[u8]) {
        if let Some(message) = self.outbound.message(call) {
            // The same: nobody waits for these bytes.
            let _ = message.write(offset as usize, bytes);
        }
    }

    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        self.inbound.accept(call, incoming)
    }

    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]) {
        self.inbound.write(call, offset as usize, bytes);
    }

    fn read_reply(&self, call: InboundCall, offset: u32, into: &mut [u8]) {
        let read = self.inbound.read(call, offset as usize, into);
        into[read..].fill(0);
    }
}
