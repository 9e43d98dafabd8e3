//! Holds the bytes of one node's messages, as the bridge of a real qnet does.

use std::collections::BTreeMap;

use qnet_proto::{
    Accept, Errno, InboundCall, InboundConn, InboundRun, Incoming, OutboundCall, OutboundRun,
    PeerId, Store,
};

use super::node::TID_OF_RUNS;
use super::pattern::{Body, Key, fill, is_right};

/// Bytes of a message of a run that say which of them it is.
const NUMBER_LEN: usize = 4;

/// A local client's call.
pub(crate) struct Sent {
    pub(crate) key: Key,
    pub(crate) len: u32,
    pub(crate) reply: Vec<u8>,
    /// One of many that are alike.
    pub(crate) is_of_run: bool,
    /// The one link it may take.
    pub(crate) exclusive: Option<u8>,
    pub(crate) is_cancelled: bool,
    /// Whether the client wants to know when the server receives it, and was told.
    pub(crate) reports: bool,
    pub(crate) is_told: bool,
}

/// A remote client's call.
pub(crate) struct Arriving {
    pub(crate) key: Key,
    pub(crate) conn: InboundConn,
    pub(crate) message: Vec<u8>,
    pub(crate) reply_len: u32,
    pub(crate) is_of_run: bool,
    pub(crate) has_arrived: bool,
}

/// Whether the answer to a message of many that are alike has a status nevertheless.
fn says_more(key: Key) -> bool {
    key.tid % 23 == 0
}

impl Sent {
    /// Writes bytes of the message.
    fn read(&self, offset: u32, into: &mut [u8]) {
        assert!(
            offset as usize + into.len() <= self.len as usize,
            "the engine reads within the message"
        );
        fill(self.key, Body::Message, offset, into);
        if self.is_of_run && offset == 0 {
            into[..NUMBER_LEN].copy_from_slice(&self.key.tid.to_be_bytes());
        }
    }

    /// What the server answers.
    pub(crate) fn status(&self) -> i64 {
        match self.is_of_run && self.reply.is_empty() && !says_more(self.key) {
            true => 0,
            false => self.key.status(),
        }
    }
}

impl Arriving {
    fn place(&mut self, offset: usize, bytes: &[u8]) {
        self.message[offset..offset + bytes.len()].copy_from_slice(bytes);
        if self.is_of_run && offset == 0 {
            let number = bytes.first_chunk().expect("a head has room for a number");
            self.key.tid = i32::from_be_bytes(*number);
        }
    }

    pub(crate) fn is_right(&self) -> bool {
        let own = if self.is_of_run { NUMBER_LEN } else { 0 };
        is_right(self.key, Body::Message, own as u32, &self.message[own..])
    }

    /// Whether it is answered with nothing at all, as others are.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_of_run && self.reply_len == 0 && !says_more(self.key)
    }
}

#[derive(Default)]
pub(crate) struct Holder {
    pub(crate) sent: BTreeMap<OutboundCall, Sent>,
    /// Those that were sent together; `None` for those that are answered.
    pub(crate) sent_runs: BTreeMap<OutboundRun, Vec<Option<Sent>>>,
    pub(crate) arriving: BTreeMap<InboundCall, Arriving>,
    /// The messages of runs; `None` for those that are answered or taken out.
    pub(crate) runs: BTreeMap<InboundRun, Vec<Option<Arriving>>>,
    /// Calls accepted without a buffer: to be granted later.
    pub(crate) ungranted: Vec<InboundCall>,
    /// Which node of the simulation a peer is.
    pub(crate) node_of: BTreeMap<PeerId, usize>,
}

impl Holder {
    /// Whether nothing is open.
    pub(crate) fn is_empty(&self) -> bool {
        let calls = self.arriving.is_empty() && self.sent.is_empty();
        calls && self.runs.is_empty() && self.sent_runs.is_empty()
    }

    /// A message of which nothing has arrived.
    fn arriving(&self, incoming: &Incoming) -> Arriving {
        let info = incoming.info;
        let key = Key {
            client: info.uid as usize,
            life: info.client_pid as u32,
            coid: info.coid,
            tid: incoming.tid,
        };
        assert_eq!(
            self.node_of.get(&incoming.peer),
            Some(&key.client),
            "a client speaks from its own node"
        );
        Arriving {
            key,
            conn: incoming.conn,
            message: vec![0; incoming.len as usize],
            reply_len: incoming.reply_len,
            is_of_run: incoming.tid == TID_OF_RUNS,
            has_arrived: false,
        }
    }

    pub(crate) fn has_arrived(&mut self, call: InboundCall) {
        let arriving = self.arriving.get_mut(&call);
        arriving.expect("it was accepted").has_arrived = true;
    }
}

impl Store for Holder {
    fn read_message(&self, call: OutboundCall, offset: u32, into: &mut [u8]) {
        self.sent[&call].read(offset, into);
    }

    fn read_run(&self, run: OutboundRun, at: u32, into: &mut [u8]) {
        let sent = self.sent_runs[&run][at as usize].as_ref();
        sent.expect("what is sent is not answered").read(0, into);
    }

    fn write_reply(&mut self, call: OutboundCall, offset: u32, bytes: &[u8]) {
        let sent = self
            .sent
            .get_mut(&call)
            .expect("replies come to calls that wait");
        sent.reply[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        let arriving = self.arriving(incoming);
        let (key, is_of_run) = (arriving.key, arriving.is_of_run);
        if key.hash().is_multiple_of(41) && !is_of_run {
            return Accept::Refuse(Errno::EAGAIN);
        }
        assert!(
            self.arriving.insert(call, arriving).is_none(),
            "a handle names one call"
        );
        if key.hash() % 5 < 2 && !is_of_run {
            self.ungranted.push(call);
            return Accept::Eager;
        }
        Accept::All
    }

    fn accept_run(&mut self, run: InboundRun, incoming: &Incoming, bytes: &[u8]) -> bool {
        let messages = bytes.chunks_exact(incoming.len as usize);
        let number = bytes
            .first_chunk()
            .expect("a message has room for a number");
        // Some holders want none together.
        if i32::from_be_bytes(*number) % 4 == 0 {
            return false;
        }
        let members = messages.map(|bytes| {
            let mut arriving = self.arriving(incoming);
            arriving.place(0, bytes);
            arriving.has_arrived = true;
            Some(arriving)
        });
        let members = members.collect();
        let before = self.runs.insert(run, members);
        assert!(before.is_none(), "a handle names one run");
        true
    }

    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]) {
        let arriving = self
            .arriving
            .get_mut(&call)
            .expect("bytes come to calls that were accepted");
        arriving.place(offset as usize, bytes);
    }

    fn read_reply(&self, call: InboundCall, offset: u32, into: &mut [u8]) {
        fill(self.arriving[&call].key, Body::Reply, offset, into);
    }
}
