//! Holds the bytes of one node's messages, as the bridge of a real qnet does.

use std::collections::BTreeMap;

use qnet_proto::{Accept, Errno, InboundCall, InboundConn, Incoming, OutboundCall, PeerId, Store};

use super::pattern::{Body, Key, fill, is_right};

/// A local client's call.
pub(crate) struct Sent {
    pub(crate) key: Key,
    pub(crate) len: u32,
    pub(crate) reply: Vec<u8>,
    /// The one link it may take.
    pub(crate) exclusive: Option<u8>,
    pub(crate) is_cancelled: bool,
}

/// A remote client's call.
pub(crate) struct Arriving {
    pub(crate) key: Key,
    pub(crate) conn: InboundConn,
    pub(crate) message: Vec<u8>,
    pub(crate) reply_len: u32,
}

#[derive(Default)]
pub(crate) struct Holder {
    pub(crate) sent: BTreeMap<OutboundCall, Sent>,
    pub(crate) arriving: BTreeMap<InboundCall, Arriving>,
    /// Calls accepted without a buffer: to be granted later.
    pub(crate) ungranted: Vec<InboundCall>,
    /// Which node of the simulation a peer is.
    pub(crate) node_of: BTreeMap<PeerId, usize>,
}

impl Holder {
    pub(crate) fn message_is_right(&self, call: InboundCall) -> bool {
        let arriving = &self.arriving[&call];
        is_right(arriving.key, Body::Message, 0, &arriving.message)
    }
}

impl Store for Holder {
    fn read_message(&self, call: OutboundCall, offset: u32, into: &mut [u8]) {
        let sent = &self.sent[&call];
        assert!(
            offset as usize + into.len() <= sent.len as usize,
            "the engine reads within the message"
        );
        fill(sent.key, Body::Message, offset, into);
    }

    fn write_reply(&mut self, call: OutboundCall, offset: u32, bytes: &[u8]) {
        let sent = self
            .sent
            .get_mut(&call)
            .expect("replies come to calls that wait");
        sent.reply[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        let info = incoming.info;
        let life = info.client_pid as u32;
        let key = Key {
            client: info.uid as usize,
            life,
            coid: info.coid,
            tid: incoming.tid,
        };
        assert_eq!(
            self.node_of.get(&incoming.peer),
            Some(&key.client),
            "a client speaks from its own node"
        );
        if key.hash().is_multiple_of(41) {
            return Accept::Refuse(Errno::EAGAIN);
        }
        let message = vec![0; incoming.len as usize];
        let arriving = Arriving {
            key,
            conn: incoming.conn,
            message,
            reply_len: incoming.reply_len,
        };
        assert!(
            self.arriving.insert(call, arriving).is_none(),
            "a handle names one call"
        );
        if key.hash() % 5 < 2 {
            self.ungranted.push(call);
            return Accept::Eager;
        }
        Accept::All
    }

    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]) {
        let arriving = self
            .arriving
            .get_mut(&call)
            .expect("bytes come to calls that were accepted");
        arriving.message[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn read_reply(&self, call: InboundCall, offset: u32, into: &mut [u8]) {
        fill(self.arriving[&call].key, Body::Reply, offset, into);
    }
}
