//! What waits to be sent to one peer.

use std::collections::VecDeque;

use crate::wire::Side;
use crate::{Cancel, Errno, InboundCall, OutboundCall, OutboundConn, Pulse};

/// Messages and replies up to this length go before longer ones, first come first served.
pub(super) const SMALL_LEN: u32 = 4096;
/// Every so many frames the oldest long message goes first, before everything else.
const OLDEST_EVERY: u32 = 8;

/// A record that is sent until it is acknowledged, complete in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Cancel {
        call: OutboundCall,
        conn: OutboundConn,
        id: u64,
        cancel: Cancel,
    },
    Detach {
        conn: u64,
        to: Side,
        errno: Errno,
    },
    Grant {
        call: InboundCall,
        id: u64,
        limit: u32,
    },
    PulseServer {
        conn: OutboundConn,
        sequence: u64,
        pulse: Pulse,
    },
    PulseClient {
        conn: u64,
        sequence: u64,
        pulse: Pulse,
    },
    Ping,
}

/// A long message or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bulk {
    Message(OutboundCall),
    Reply(InboundCall),
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) control: VecDeque<Control>,
    /// Replies before messages: a message may have to wait for a reply, never the other way round.
    pub(super) replies: VecDeque<InboundCall>,
    pub(super) messages: VecDeque<OutboundCall>,
    /// Messages that were begun before. They pass new ones: those may have to wait for a number until
    /// these have arrived.
    pub(super) begun: VecDeque<OutboundCall>,
    /// In order of age.
    pub(super) bulk: Vec<Bulk>,
    turn: u32,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.replies.is_empty()
            && self.messages.is_empty()
            && self.begun.is_empty()
            && self.bulk.is_empty()
    }

    pub(super) fn push_message(&mut self, call: OutboundCall, len: u32) {
        if len <= SMALL_LEN {
            self.messages.push_back(call);
        } else {
            self.bulk.push(Bulk::Message(call));
        }
    }

    /// Queues what is left of a message that was begun.
    pub(super) fn push_begun(&mut self, call: OutboundCall, len: u32) {
        if len <= SMALL_LEN {
            self.begun.push_back(call);
        } else {
            self.bulk.push(Bulk::Message(call));
        }
    }

    pub(super) fn push_reply(&mut self, call: InboundCall, len: u32) {
        if len <= SMALL_LEN {
            self.replies.push_back(call);
        } else {
            self.bulk.push(Bulk::Reply(call));
        }
    }

    /// Counts a frame; true if the oldest long message has the first place in it.
    pub(super) fn next_turn(&mut self) -> bool {
        self.turn = (self.turn + 1) % OLDEST_EVERY;
        self.turn == 0 && !self.bulk.is_empty()
    }
}
