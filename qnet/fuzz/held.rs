//! The bytes of one node's messages, as far as the `session` target holds any: their lengths.

use std::collections::BTreeMap;

use qnet_proto::limits::RUN_MESSAGES_MAX;
use qnet_proto::{
    Accept, Errno, InboundCall, InboundConn, InboundRun, Incoming, OutboundCall, OutboundRun, Store,
};

/// Checks every range that the engine asks for, and keeps no byte.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) sent: BTreeMap<OutboundCall, Sent>,
    pub(crate) sent_runs: BTreeMap<OutboundRun, SentRun>,
    /// How many there ever were.
    pub(crate) runs_sent: usize,
    /// Length of the message, of the client's buffer, and of the answer given.
    pub(crate) accepted: BTreeMap<InboundCall, (usize, usize, usize)>,
    /// Those of `accepted` that wait for their buffers.
    pub(crate) eager: Vec<InboundCall>,
    pub(crate) runs: BTreeMap<InboundRun, Run>,
    /// How many there ever were.
    pub(crate) runs_taken: usize,
}

/// A message of this node's client: its length, and that of the reply buffer.
pub(crate) struct Sent {
    pub(crate) len: usize,
    pub(crate) reply_len: usize,
}

/// Messages that this node's client sent together.
pub(crate) struct SentRun {
    len: usize,
    count: u32,
    /// Those that are neither answered nor calls by themselves, one bit each.
    waiting: u64,
}

/// Messages that are kept together.
pub(crate) struct Run {
    pub(crate) conn: InboundConn,
    len: usize,
    reply_len: usize,
    /// Those that are neither answered nor taken out, one bit each.
    pub(crate) waiting: u64,
    /// Those that were taken out.
    pub(crate) out: u64,
}

impl Held {
    pub(crate) fn send_run(&mut self, run: OutboundRun, len: usize, count: usize) {
        let its = SentRun {
            len,
            count: count as u32,
            waiting: u64::MAX >> (RUN_MESSAGES_MAX - count),
        };
        let before = self.sent_runs.insert(run, its);
        assert!(before.is_none(), "a handle names one run");
        self.runs_sent += 1;
    }

    /// Messages of this node's client are over.
    pub(crate) fn replied(&mut self, run: OutboundRun, members: u64) {
        let its = self
            .sent_runs
            .get_mut(&run)
            .expect("a run that is not over");
        assert!(members != 0 && members & !its.waiting == 0, "one outcome");
        its.waiting &= !members;
        if its.waiting == 0 {
            self.sent_runs.remove(&run);
        }
    }

    /// A message of this node's client is a call by itself from now on.
    pub(crate) fn left_run(&mut self, run: OutboundRun, at: u32, call: OutboundCall) {
        let len = self.sent_runs[&run].len;
        self.replied(run, 1 << at);
        let before = self.sent.insert(call, Sent { len, reply_len: 0 });
        assert!(before.is_none(), "a handle names one call");
    }

    /// A message left its run. Answers through which connection it came.
    pub(crate) fn take_out(&mut self, run: InboundRun, at: u32, call: InboundCall) -> InboundConn {
        let its = self.runs.get_mut(&run).expect("a run that is not done");
        assert_ne!(its.waiting & 1 << at, 0, "neither answered nor taken out");
        its.waiting &= !(1 << at);
        its.out |= 1 << at;
        let before = self.accepted.insert(call, (its.len, its.reply_len, 0));
        assert_eq!(before, None, "a handle names one call");
        its.conn
    }
}

impl Store for Held {
    fn read_message(&self, call: OutboundCall, offset: u32, into: &mut [u8]) {
        assert!(offset as usize + into.len() <= self.sent[&call].len);
        into.fill(0x55);
    }

    fn read_run(&self, run: OutboundRun, at: u32, into: &mut [u8]) {
        let its = &self.sent_runs[&run];
        assert!(at < its.count && into.len() == its.len);
        into.fill(0x5a);
    }

    fn write_reply(&mut self, call: OutboundCall, offset: u32, bytes: &[u8]) {
        assert!(offset as usize + bytes.len() <= self.sent[&call].reply_len);
    }

    fn accept(&mut self, call: InboundCall, incoming: &Incoming) -> Accept {
        let (len, reply_len) = (incoming.len as usize, incoming.reply_len as usize);
        if len % 7 == 6 {
            return Accept::Refuse(Errno::EAGAIN);
        }
        let before = self.accepted.insert(call, (len, reply_len, 0));
        assert_eq!(before, None, "a call is accepted once");
        match len % 2 {
            0 => Accept::All,
            _ => {
                self.eager.push(call);
                Accept::Eager
            }
        }
    }

    fn accept_run(&mut self, run: InboundRun, incoming: &Incoming, bytes: &[u8]) -> bool {
        let (len, reply_len) = (incoming.len as usize, incoming.reply_len as usize);
        let count = bytes.len() / len;
        assert_eq!(bytes.len(), count * len, "whole messages");
        assert!((2..=RUN_MESSAGES_MAX).contains(&count));
        if len % 7 == 6 {
            return false;
        }
        let its = Run {
            conn: incoming.conn,
            len,
            reply_len,
            waiting: u64::MAX >> (RUN_MESSAGES_MAX - count),
            out: 0,
        };
        assert!(
            self.runs.insert(run, its).is_none(),
            "a handle names one run"
        );
        self.runs_taken += 1;
        true
    }

    fn write_message(&mut self, call: InboundCall, offset: u32, bytes: &[u8]) {
        assert!(offset as usize + bytes.len() <= self.accepted[&call].0);
    }

    fn read_reply(&self, call: InboundCall, offset: u32, into: &mut [u8]) {
        assert!(offset as usize + into.len() <= self.accepted[&call].2);
        into.fill(0xaa);
    }
}
