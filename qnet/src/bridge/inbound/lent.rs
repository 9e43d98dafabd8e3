//! How much memory the messages and answers of each node's clients take in the regions of their connections.
//!
//! A message that nobody answers keeps its place, and one that nobody waits for any more keeps it until its server has
//! answered. A node whose clients have as much as may be waits: their next long messages are taken one by one, as what
//! went before is done with, while short ones that ask for short answers pass.
//!
//! What is taken is counted, what is given back is not: where the count says that there is no room, the connections are
//! asked. That costs nothing where messages are few, and little where they are many.

use qnet_proto::{InboundCall, InboundConn, PeerId, Time};

use crate::{
    bridge::{
        Turn,
        inbound::{
            Conn, ConnState, Inbound,
            call::{Call, Place},
            shares::Shares,
        },
        own_ids::OwnIds,
    },
    limits::{LENT_OWN_LEN, NOTICES_RETRY, lent_common_len},
};

/// The count, and who waits for it to become less.
pub(super) struct Lent {
    /// No less than what is set aside.
    shares: Shares,
    /// Connections whose next message waits, by node, first come first.
    waiting: OwnIds<PeerId, Vec<InboundConn>>,
    /// They are being tried: the count is as good as new.
    is_fresh: bool,
    /// When these are tried again.
    retry_at: Time,
}

impl Default for Lent {
    fn default() -> Lent {
        Lent {
            shares: Shares::new(LENT_OWN_LEN, lent_common_len()),
            waiting: OwnIds::default(),
            is_fresh: false,
            retry_at: Time(0),
        }
    }
}

impl Conn {
    /// Bytes that messages through this connection, and their answers, have set aside.
    fn held_len(&self) -> usize {
        match &self.state {
            ConnState::Ready { connection, .. } => connection.held_len(),
            ConnState::Attaching => 0,
        }
    }
}

impl Inbound {
    /// Whether the next message of a connection may take `len` bytes. If not, it waits for its node to have less.
    pub(super) fn lend(&mut self, conn: InboundConn, len: usize) -> bool {
        let Some(node) = self.conns.get(conn).map(|conn| conn.peer) else {
            return true;
        };
        let may = len == 0 || self.take(node, len);
        if !may
            && let Some(entry) = self.conns.get_mut(conn)
            && !std::mem::replace(&mut entry.wants_memory, true)
        {
            self.lent.waiting.entry(node).or_default().push(conn);
        }
        may
    }

    /// As [`lend`](Self::lend), for a message that is there in part or as a whole and has no place yet.
    pub(super) fn lend_to(&mut self, id: InboundCall) -> bool {
        let wants = |call: &&Call| matches!(call.place, Place::Staged(_) | Place::Small(_));
        match self.calls.get(id).filter(wants) {
            Some(call) => self.lend(call.conn, call.lent_len()),
            None => true,
        }
    }

    /// Takes room for a node. What comes after a message that waits has to wait, too.
    fn take(&mut self, node: PeerId, len: usize) -> bool {
        if self.lent.waiting.contains_key(&node) {
            return false;
        }
        if self.lent.shares.take(node, len) {
            return true;
        }
        if !self.lent.is_fresh {
            self.count_lent();
        }
        self.lent.shares.take(node, len)
    }

    /// Counts anew what is set aside.
    fn count_lent(&mut self) {
        let shares = &mut self.lent.shares;
        shares.clear();
        let gone = self.lingering.iter().map(|(_, conn)| conn);
        for conn in self.conns.iter().chain(gone) {
            match conn.held_len() {
                0 => {}
                len => shares.set(conn.peer, shares.taken(conn.peer) + len),
            }
        }
    }

    /// Whether anything waits for a node to have less.
    pub(super) fn wants_memory(&self) -> bool {
        !self.lent.waiting.is_empty()
    }

    /// Tries again what waits, now and then.
    pub(super) fn retry_lending(&mut self, turn: &mut Turn<'_>) {
        if !self.wants_memory() || turn.now < self.lent.retry_at {
            return;
        }
        self.lent.retry_at = turn.now + NOTICES_RETRY;
        self.count_lent();
        self.lent.is_fresh = true;
        let waiting = std::mem::take(&mut self.lent.waiting);
        for conn in waiting.into_values().flatten() {
            if let Some(entry) = self.conns.get_mut(conn) {
                entry.wants_memory = false;
                self.place_waiting(turn, conn);
            }
        }
        self.lent.is_fresh = false;
    }
}
