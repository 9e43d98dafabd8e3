//! A session with one peer: its paths, what was received through the peer's, duplicate filters, clocks.

use std::collections::{BTreeMap, HashMap};

use super::gaps::Gaps;
use super::grants::GrantLine;
use super::numbers::Numbers;
use super::path::{Path, PathStart};
use super::random::IdHash;
use super::received::Received;
use super::seen::Seen;
use crate::limits::{CALLS_MAX, CONNS_MAX, SEEN_WINDOW};
use crate::wire::Hello;
use crate::{InboundCall, InboundConn, InboundRun, OutboundCall, OutboundConn, OutboundRun, Time};

pub(super) struct Session {
    pub(super) id: u64,
    pub(super) is_responder: bool,
    /// The peer's life.
    pub(super) epoch: u64,
    /// What the peer said of itself when the session began.
    pub(super) hello: Hello,
    /// How long the peer may hold back an acknowledgement.
    pub(super) ack_delay_ns: u64,

    /// The ways to the peer, at least one. Their indices go over the wire with the packet numbers.
    pub(super) paths: Vec<Path>,
    /// The path of the last frame that carried something.
    pub(super) last_path: usize,
    /// What was received, by the path of the peer that it was sent through.
    pub(super) spaces: Vec<Space>,

    /// When the peer is looked for next behind links that no path leads through, and how often it was.
    pub(super) seek_at: Option<Time>,
    pub(super) seeks: u32,

    /// When the last frame was taken, through any path.
    pub(super) heard_at: Time,
    /// Since when the peer is asked whether it still has the session, and has not been heard: nothing else is sent.
    pub(super) doubted_since: Option<Time>,
    /// Since when something is outstanding without a break.
    pub(super) busy_since: Option<Time>,

    /// Calls and connections numbered by this node, and what the peer is known to have seen of them.
    pub(super) next_call: u64,
    pub(super) next_conn: u64,
    pub(super) calls_known: Seen,
    pub(super) conns_known: Seen,
    pub(super) out_calls: Numbers<OutboundCall>,
    /// Runs and how long they are, by the numbers of their first calls.
    pub(super) out_runs: BTreeMap<u64, (OutboundRun, u32)>,
    /// Calls in them that are not answered.
    pub(super) out_run_calls: usize,
    pub(super) out_conns: HashMap<u64, OutboundConn, IdHash>,

    /// Calls and connections numbered by the peer.
    pub(super) calls_seen: Seen,
    pub(super) conns_seen: Seen,
    pub(super) in_calls: Numbers<InboundCall>,
    /// Runs and how long they are, by the numbers of their first calls.
    pub(super) in_runs: BTreeMap<u64, (InboundRun, u32)>,
    /// Calls in them that are neither over nor taken out.
    pub(super) in_run_calls: usize,
    pub(super) in_conns: HashMap<u64, InboundConn, IdHash>,

    /// Between what has arrived of messages and replies.
    pub(super) gaps: Gaps,
    /// Bytes granted and not arrived.
    pub(super) granted_len: u64,
    /// Calls whose holder has room and that wait for their share of `granted_len`.
    pub(super) grant_waiting: GrantLine,
    /// Pulses of the peer that overtook others, of all connections.
    pub(super) early_pulses: usize,
    /// Last words (Abandon, Detach) that the peer is not known to have: with what is open they are bounded, so that
    /// one that acknowledges nothing does not make them ever more.
    pub(super) last_words: usize,
}

/// The numbers of packets that came through one path of the peer.
pub(super) struct Space {
    pub(super) received: Received,
    /// The own path through which the last of them came.
    pub(super) via: usize,
}

/// What a new session is made of.
pub(super) struct SessionStart<'a> {
    pub(super) id: u64,
    pub(super) is_responder: bool,
    pub(super) hello: &'a Hello,
    /// The path that the handshake went through.
    pub(super) path: PathStart,
    pub(super) hash: u64,
}

impl Session {
    pub(super) fn new(start: SessionStart<'_>) -> Session {
        let hello = start.hello;
        let hash = IdHash(start.hash);
        Session {
            id: start.id,
            is_responder: start.is_responder,
            epoch: hello.epoch,
            hello: *hello,
            ack_delay_ns: u64::from(hello.ack_delay_us) * 1000,
            paths: vec![Path::new(start.path)],
            last_path: 0,
            spaces: vec![Space::new(0)],
            seek_at: None,
            seeks: 0,
            heard_at: start.path.now,
            doubted_since: None,
            busy_since: None,
            next_call: 0,
            next_conn: 0,
            calls_known: Seen::new(),
            conns_known: Seen::new(),
            out_calls: Numbers::new(hash),
            out_runs: BTreeMap::new(),
            out_run_calls: 0,
            out_conns: HashMap::with_hasher(hash),
            calls_seen: Seen::new(),
            conns_seen: Seen::new(),
            in_calls: Numbers::new(hash),
            in_runs: BTreeMap::new(),
            in_run_calls: 0,
            in_conns: HashMap::with_hasher(hash),
            gaps: Gaps::default(),
            granted_len: 0,
            grant_waiting: GrantLine::default(),
            early_pulses: 0,
            last_words: 0,
        }
    }

    /// Calls that may be numbered before the peer shows that it has seen others.
    pub(super) fn numbers_left(&self) -> usize {
        let known = self.calls_known.base() + SEEN_WINDOW as u64;
        let open = self.out_calls.len() + self.out_run_calls;
        let numbers = known.saturating_sub(self.next_call) as usize;
        numbers.min(CALLS_MAX.saturating_sub(open + self.last_words))
    }

    /// Numbers a call that is sent for the first time; `None` if too many are on their way.
    pub(super) fn number_call(&mut self, call: OutboundCall) -> Option<u64> {
        let id = self.next_call;
        if self.numbers_left() == 0 {
            return None;
        }
        self.next_call += 1;
        self.out_calls.insert(id, call);
        Some(id)
    }

    /// Whether one more connection may be numbered.
    pub(super) fn can_number_conn(&self) -> bool {
        self.conns_known.is_within(self.next_conn) && self.last_words < CONNS_MAX
    }

    /// Whether the peer may open one more connection.
    pub(super) fn has_room_for_conn(&self) -> bool {
        self.in_conns.len() + self.last_words < CONNS_MAX
    }

    /// Numbers a connection that is used for the first time; `None` if too many are on their way.
    pub(super) fn number_conn(&mut self, conn: OutboundConn) -> Option<u64> {
        let id = self.next_conn;
        if !self.can_number_conn() {
            return None;
        }
        self.next_conn += 1;
        self.out_conns.insert(id, conn);
        Some(id)
    }

    /// Open calls of the peer.
    pub(super) fn in_calls_len(&self) -> usize {
        self.in_calls.len() + self.in_run_calls
    }

    fn has_no_out_calls(&self) -> bool {
        self.out_calls.is_empty() && self.out_runs.is_empty()
    }

    fn has_no_in_calls(&self) -> bool {
        self.in_calls.is_empty() && self.in_runs.is_empty()
    }

    /// Whether nothing uses the session.
    pub(super) fn is_unused(&self) -> bool {
        self.has_no_out_calls()
            && self.has_no_in_calls()
            && self.out_conns.is_empty()
            && self.in_conns.is_empty()
            && self.is_quiet()
    }

    /// Whether nothing is on its way through a path in service.
    pub(super) fn is_quiet(&self) -> bool {
        let mut paths = 0..self.paths.len();
        paths.all(|at| self.paths[at].sent.in_flight() == 0 || !self.is_in_service(at))
    }

    /// Whether the peer owes an answer of any kind, given whether calls wait in the queue.
    pub(super) fn is_busy(&self) -> bool {
        !self.is_quiet() || !self.has_no_out_calls() || !self.has_no_in_calls()
    }

    /// What was received through a path of the peer. Makes a place for a path not heard of before: a
    /// frame's headers name no more than eight.
    pub(super) fn space(&mut self, space: usize, via: usize) -> &mut Space {
        while self.spaces.len() <= space {
            self.spaces.push(Space::new(via));
        }
        &mut self.spaces[space]
    }

    /// Whether a packet came before, or is too old to tell.
    pub(super) fn is_repeated(&self, space: usize, packet: u64) -> bool {
        let entry = self.spaces.get(space);
        entry.is_some_and(|entry| entry.received.is_repeated(packet))
    }
}

impl Space {
    fn new(via: usize) -> Space {
        Space {
            received: Received::new(),
            via,
        }
    }
}
