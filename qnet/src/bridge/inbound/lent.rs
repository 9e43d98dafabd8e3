//! How much memory the messages and answers of each node's clients take in the regions of their connections.
//!
//! A message that nobody answers keeps its place, and one that nobody waits for any more keeps it until its server has
//! answered. A node whose clients have as much as may be waits: their next long messages are taken one by one, as what
//! went before is done with, while short ones that ask for short answers pass.
//!
//! A connection is asked what it has set aside whenever it made room for a long message or one is done with. Who waits is
//! tried again when some connection has less or is gone, or when the first in line does not want any more what it waited
//! for: nobody has to look now and then.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use ipc_core::{Connection, Token};
use qnet_proto::{InboundCall, InboundConn, PeerId};

use crate::{
    bridge::{
        Turn,
        inbound::{
            Inbound,
            call::{Call, Place},
            shares::Shares,
        },
        own_ids::OwnIds,
    },
    limits::{LENT_OWN_LEN, lent_common_len},
};

/// What all nodes have, and who waits for them to have less.
pub(super) struct Lent {
    all: Rc<All>,
    /// Connections whose next message waits, by node, first come first.
    waiting: OwnIds<PeerId, VecDeque<InboundConn>>,
    /// Long messages that their clients gave up and their servers have: they keep their places until these have answered.
    given_up: OwnIds<Token, InboundConn>,
}

struct All {
    shares: RefCell<Shares>,
    /// Whether anybody who waits may find room now.
    has_news: Cell<bool>,
}

/// What one connection has set aside: counted for its node until this is dropped.
pub(super) struct LentTo {
    node: PeerId,
    len: usize,
    /// The first message of its line waits for its node to have less.
    waits: bool,
    all: Rc<All>,
}

impl Default for Lent {
    fn default() -> Lent {
        let all = All {
            shares: RefCell::new(Shares::new(LENT_OWN_LEN, lent_common_len())),
            has_news: Cell::new(false),
        };
        Lent {
            all: Rc::new(all),
            waiting: OwnIds::default(),
            given_up: OwnIds::default(),
        }
    }
}

impl Lent {
    /// For a connection of a node's client, which has nothing yet.
    pub(super) fn to(&self, node: PeerId) -> LentTo {
        LentTo {
            node,
            len: 0,
            waits: false,
            all: Rc::clone(&self.all),
        }
    }

    /// Whether a node may have `len` bytes more. What comes after a message that waits has to wait, too.
    fn admits(&self, node: PeerId, len: usize) -> bool {
        !self.waiting.contains_key(&node) && self.all.shares.borrow().admits(node, len)
    }

    /// The client of a message that is with its server does not wait any more.
    pub(super) fn give_up(&mut self, call: &Call) {
        if call.lent_len() > 0 {
            self.given_up.insert(call.token, call.conn);
        }
    }

    /// A message that was given up is answered, too: the connection that has room again.
    pub(super) fn given_up(&mut self, token: Token) -> Option<InboundConn> {
        self.given_up.remove(&token)
    }
}

impl LentTo {
    /// The connection has made room for a message.
    pub(super) fn note(&mut self, connection: &Connection) {
        self.set(connection.held_len());
    }

    /// A message is done with, or not wanted any more.
    pub(super) fn note_room(&mut self, connection: &Connection) {
        if self.len > 0 {
            self.note(connection);
        }
        if self.waits {
            self.all.has_news.set(true);
        }
    }

    fn set(&mut self, len: usize) {
        let before = std::mem::replace(&mut self.len, len);
        let mut shares = self.all.shares.borrow_mut();
        let others = shares.taken(self.node) - before;
        shares.set(self.node, others + len);
        if len < before {
            self.all.has_news.set(true);
        }
    }
}

impl Drop for LentTo {
    fn drop(&mut self) {
        self.set(0);
        if self.waits {
            self.all.has_news.set(true);
        }
    }
}

impl Inbound {
    /// Whether the next message of a connection may take `len` bytes. If not, it waits for its node to have less.
    pub(super) fn lend(&mut self, conn: InboundConn, len: usize) -> bool {
        let Some(entry) = self.conns.get_mut(conn) else {
            return true;
        };
        let node = entry.peer;
        let may = len == 0 || self.lent.admits(node, len);
        if !may && !std::mem::replace(&mut entry.lent.waits, true) {
            self.lent.waiting.entry(node).or_default().push_back(conn);
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

    /// Tries again who waits, in their order, if there is news. Answers whether there was, for somebody.
    pub(super) fn lend_again(&mut self, turn: &mut Turn<'_>) -> bool {
        if !self.lent.all.has_news.take() || self.lent.waiting.is_empty() {
            return false;
        }
        for (node, mut line) in std::mem::take(&mut self.lent.waiting) {
            while let Some(conn) = line.pop_front() {
                if let Some(entry) = self.conns.get_mut(conn) {
                    entry.lent.waits = false;
                    self.place_waiting(turn, conn);
                }
                // It waits again, and goes on to be the first.
                if let Some(again) = self.lent.waiting.get_mut(&node) {
                    again.append(&mut line);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: PeerId = PeerId(1);

    #[test]
    fn what_a_connection_has_is_its_nodes_until_it_is_gone() {
        let lent = Lent::default();
        let len = LENT_OWN_LEN + lent_common_len() / 2;
        let (mut one, mut other) = (lent.to(NODE), lent.to(NODE));
        one.set(len / 2);
        other.set(len - len / 2);
        assert!(!lent.admits(NODE, 1) && lent.admits(PeerId(2), 1));
        assert!(!lent.all.has_news.take(), "nobody has less");
        one.set(len / 2 - 1);
        assert!(lent.all.has_news.take() && lent.admits(NODE, 1));
        drop(other);
        assert!(lent.all.has_news.take() && lent.admits(NODE, len / 2));
        drop(one);
        assert_eq!(lent.all.shares.borrow().taken(NODE), 0);
    }

    #[test]
    fn a_connection_that_goes_while_it_waits_is_news_to_those_behind_it() {
        let lent = Lent::default();
        let mut first = lent.to(NODE);
        first.waits = true;
        drop(first);
        assert!(lent.all.has_news.take());
    }
}
