//! What the engine knows of one node by name, with a session or without.

use super::queue::Queues;
use super::session::Session;
use super::stats::PeerStats;
use crate::limits::PATHS_MAX;
use crate::wire::{Handshake, Hello};
use crate::{LinkId, Mac, NodeName, NodeState, Time};

/// Where a node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) link: LinkId,
    pub(super) mac: Mac,
}

/// An address that a node said it has, and the MTU of its link there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownAddress {
    pub(super) address: Address,
    pub(super) mtu: u16,
}

pub(super) struct Peer {
    pub(super) name: NodeName,
    /// Where it was heard last, or where the session began.
    pub(super) address: Address,
    /// Every address of its present life that it was heard from, or that was given by hand.
    pub(super) addresses: Vec<KnownAddress>,
    /// Given by hand: announcements do not move it.
    pub(super) is_static: bool,
    /// Somebody here wanted it and holds its number: it keeps its place in the table.
    pub(super) is_pinned: bool,
    /// It began a session, so that servers here may know its number: it keeps its place as long as there is another.
    pub(super) has_called: bool,
    /// The life it announced last; 0 if it never did, said goodbye or was found dead.
    pub(super) epoch: u64,
    pub(super) seen_at: Time,
    /// Another one after each begin and end of a session: binds cookies to what was known then.
    pub(super) generation: u64,
    pub(super) state: State,
    pub(super) queues: Queues,
    /// Whether the engine's list of peers with something to send holds it.
    pub(super) is_ready: bool,
    /// Pulses not acknowledged.
    pub(super) pulses: usize,
    /// When to look whether something waits in vain for the only link it may take.
    pub(super) exclusive_due: Option<Time>,
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
    /// The third message, once the second has come.
    pub(super) confirm: Option<Confirm>,
    /// Packet number of the next Confirm.
    pub(super) next_packet: u64,
}

/// The third message of a handshake, with what the second said and where it came from.
#[derive(Clone, Copy)]
pub(super) struct Confirm {
    pub(super) message: Handshake,
    pub(super) hello: Hello,
    pub(super) to: Address,
}

impl Peer {
    /// Remembers an address, if there is room.
    pub(super) fn learn(&mut self, address: Address, mtu: u16) {
        let mut known = self.addresses.iter_mut();
        if let Some(known) = known.find(|known| known.address == address) {
            known.mtu = mtu;
        } else if self.addresses.len() < PATHS_MAX {
            self.addresses.push(KnownAddress { address, mtu });
        }
    }

    /// Whether it is known to be reached there.
    pub(super) fn is_at(&self, address: Address) -> bool {
        let is_path = |session: &Session| session.path_to(address).is_some();
        self.address == address
            || self.addresses.iter().any(|known| known.address == address)
            || self.session().is_some_and(is_path)
    }

    pub(super) fn new(name: NodeName, address: Address, now: Time) -> Peer {
        Peer {
            name,
            address,
            addresses: Vec::new(),
            is_static: false,
            is_pinned: false,
            has_called: false,
            epoch: 0,
            seen_at: now,
            generation: 0,
            state: State::Known,
            queues: Queues::default(),
            is_ready: false,
            pulses: 0,
            exclusive_due: None,
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

    /// Whether its number stays when it says goodbye.
    pub(super) fn keeps_number(&self) -> bool {
        self.is_pinned || self.has_called
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
