//! What the engine knows of one node by name, with a session or without.

use super::queue::Queue;
use super::session::Session;
use super::stats::PeerStats;
use crate::wire::{Handshake, Hello};
use crate::{LinkId, Mac, NodeName, NodeState, Time};

/// Where a node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) link: LinkId,
    pub(super) mac: Mac,
}

pub(super) struct Peer {
    pub(super) name: NodeName,
    pub(super) address: Address,
    /// Given by hand: announcements do not move it.
    pub(super) is_static: bool,
    /// Somebody holds its number: it keeps its place in the table.
    pub(super) is_pinned: bool,
    /// The life it announced last; 0 if it never did, said goodbye or was found dead.
    pub(super) epoch: u64,
    pub(super) seen_at: Time,
    /// Another one after each begin and end of a session: binds cookies to what was known then.
    pub(super) generation: u64,
    pub(super) state: State,
    pub(super) queue: Queue,
    /// Whether the engine's list of peers with something to send holds it.
    pub(super) is_ready: bool,
    /// Pulses not acknowledged.
    pub(super) pulses: usize,
    pub(super) stats: PeerStats,
}

pub(super) enum State {
    Known,
    Connecting(Box<Connecting>),
    Up(Box<Session>),
}

/// An attempt at a session, as its initiator.
pub(super) struct Connecting {
    pub(super) nonce: u32,
    pub(super) started_at: Time,
    pub(super) retry_at: Time,
    pub(super) tries: u32,
    /// The third message, once the second has come, and what the second said.
    pub(super) confirm: Option<(Handshake, Hello)>,
    /// Packet number of the next Confirm.
    pub(super) next_packet: u64,
}

impl Peer {
    pub(super) fn new(name: NodeName, address: Address, now: Time) -> Peer {
        Peer {
            name,
            address,
            is_static: false,
            is_pinned: false,
            epoch: 0,
            seen_at: now,
            generation: 0,
            state: State::Known,
            queue: Queue::default(),
            is_ready: false,
            pulses: 0,
            stats: PeerStats::default(),
        }
    }

    pub(super) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Up(session) => Some(session),
            _ => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Up(session) => Some(session),
            _ => None,
        }
    }

    /// Whether there is no reason to ask for it again before using it.
    pub(super) fn is_believed_there(&self) -> bool {
        self.is_static || self.epoch != 0 || !self.is_known_only()
    }

    pub(super) fn is_known_only(&self) -> bool {
        matches!(self.state, State::Known)
    }

    pub(super) fn node_state(&self) -> NodeState {
        match self.state {
            State::Known => NodeState::Known,
            State::Connecting(_) => NodeState::Connecting,
            State::Up(_) => NodeState::Up,
        }
    }
}
