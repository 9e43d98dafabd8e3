//! A session with one peer: numbers, acknowledgement, flight window, duplicate filters, clocks.

use std::collections::{HashMap, VecDeque};

use super::random::IdHash;
use super::received::Received;
use super::rtt::Rtt;
use super::seen::Seen;
use super::sent::Sent;
use super::window::{SMALL_RESERVE_LEN, Window};
use crate::limits::{CALLS_MAX, SEEN_WINDOW};
use crate::wire::Hello;
use crate::{InboundCall, InboundConn, OutboundCall, OutboundConn, Time};

pub(super) struct Session {
    pub(super) id: u64,
    pub(super) is_responder: bool,
    /// The peer's life.
    pub(super) epoch: u64,
    /// Bytes a frame may carry behind its Ethernet header: the smaller of both links' MTUs.
    pub(super) mtu: usize,
    /// How long the peer may hold back an acknowledgement.
    pub(super) ack_delay_ns: u64,

    pub(super) sent: Sent,
    pub(super) received: Received,
    pub(super) rtt: Rtt,
    pub(super) window: Window,
    /// Probe timeouts since the last new acknowledgement.
    pub(super) backoff: u32,
    /// Frames that may be sent beyond the flight window.
    pub(super) probes: u32,

    /// When the last frame was taken.
    pub(super) heard_at: Time,
    /// Since when something is outstanding without a break.
    pub(super) busy_since: Option<Time>,
    pub(super) pinged_at: Time,

    /// Calls and connections numbered by this node, and what the peer is known to have seen of them.
    pub(super) next_call: u64,
    pub(super) next_conn: u64,
    pub(super) calls_known: Seen,
    pub(super) conns_known: Seen,
    pub(super) out_calls: HashMap<u64, OutboundCall, IdHash>,
    pub(super) out_conns: HashMap<u64, OutboundConn, IdHash>,

    /// Calls and connections numbered by the peer.
    pub(super) calls_seen: Seen,
    pub(super) conns_seen: Seen,
    pub(super) in_calls: HashMap<u64, InboundCall, IdHash>,
    pub(super) in_conns: HashMap<u64, InboundConn, IdHash>,

    /// Bytes granted and not arrived.
    pub(super) granted_len: u64,
    /// Calls whose holder has room and that wait for their share of `granted_len`.
    pub(super) grant_waiting: VecDeque<InboundCall>,
}

/// What a new session is made of.
pub(super) struct SessionStart<'a> {
    pub(super) now: Time,
    pub(super) id: u64,
    pub(super) is_responder: bool,
    pub(super) hello: &'a Hello,
    pub(super) link_mtu: usize,
    /// The number of the first packet not used by the handshake.
    pub(super) first_packet: u64,
    pub(super) hash: u64,
}

impl Session {
    pub(super) fn new(start: SessionStart<'_>) -> Session {
        let hello = start.hello;
        let mtu = start.link_mtu.min(usize::from(hello.mtu));
        let hash = IdHash(start.hash);
        Session {
            id: start.id,
            is_responder: start.is_responder,
            epoch: hello.epoch,
            mtu,
            ack_delay_ns: u64::from(hello.ack_delay_us) * 1000,
            sent: Sent::new(start.first_packet),
            received: Received::new(),
            rtt: Rtt::new(),
            window: Window::new(mtu, hello.receive_window),
            backoff: 0,
            probes: 0,
            heard_at: start.now,
            busy_since: None,
            pinged_at: start.now,
            next_call: 0,
            next_conn: 0,
            calls_known: Seen::new(),
            conns_known: Seen::new(),
            out_calls: HashMap::with_hasher(hash),
            out_conns: HashMap::with_hasher(hash),
            calls_seen: Seen::new(),
            conns_seen: Seen::new(),
            in_calls: HashMap::with_hasher(hash),
            in_conns: HashMap::with_hasher(hash),
            granted_len: 0,
            grant_waiting: VecDeque::new(),
        }
    }

    /// Numbers a call that is sent for the first time; `None` if too many are on their way.
    pub(super) fn number_call(&mut self, call: OutboundCall) -> Option<u64> {
        let id = self.next_call;
        if self.out_calls.len() >= CALLS_MAX || !self.calls_known.is_within(id) {
            return None;
        }
        self.next_call += 1;
        self.out_calls.insert(id, call);
        Some(id)
    }

    /// Numbers a connection that is used for the first time; `None` if too many are on their way.
    pub(super) fn number_conn(&mut self, conn: OutboundConn) -> Option<u64> {
        let id = self.next_conn;
        if id >= self.conns_known.base() + SEEN_WINDOW as u64 {
            return None;
        }
        self.next_conn += 1;
        self.out_conns.insert(id, conn);
        Some(id)
    }

    /// Whether nothing uses the session.
    pub(super) fn is_unused(&self) -> bool {
        self.out_calls.is_empty()
            && self.in_calls.is_empty()
            && self.out_conns.is_empty()
            && self.in_conns.is_empty()
            && self.sent.in_flight() == 0
    }

    /// Whether the peer owes an answer of any kind, given whether calls wait in the queue.
    pub(super) fn is_busy(&self) -> bool {
        self.sent.in_flight() > 0 || !self.out_calls.is_empty() || !self.in_calls.is_empty()
    }

    /// Whether anything but acknowledgements may be sent.
    pub(super) fn may_send(&self) -> bool {
        self.probes > 0 || self.sent.in_flight() < self.window.len() + SMALL_RESERVE_LEN
    }

    /// Whether long messages may be sent.
    pub(super) fn may_send_bulk(&self) -> bool {
        self.probes > 0 || self.sent.in_flight() < self.window.len()
    }
}
