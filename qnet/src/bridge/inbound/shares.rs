//! Room that nodes share: some of its own for each, and what all have in common.
//!
//! Nodes that fill the common room leave each other's own alone, so that the first messages of a client find room
//! whatever the clients of other nodes send.

use qnet_proto::PeerId;

use crate::bridge::own_ids::OwnIds;

/// How much of the room is taken.
pub(super) struct Shares {
    /// Bytes that each node may take, whatever others have.
    own_len: usize,
    /// Bytes that all may take together beyond these.
    common_max: usize,
    /// Bytes by node; none is 0.
    nodes: OwnIds<PeerId, usize>,
    /// Of these, bytes beyond each one's own.
    common_len: usize,
}

impl Shares {
    pub(super) fn new(own_len: usize, common_max: usize) -> Shares {
        Shares {
            own_len,
            common_max,
            nodes: OwnIds::default(),
            common_len: 0,
        }
    }

    /// Of a node's bytes, those beyond its own.
    fn common(&self, len: usize) -> usize {
        len.saturating_sub(self.own_len)
    }

    /// Takes room for `len` bytes more of a node; `false` if there is none.
    pub(super) fn take(&mut self, node: PeerId, len: usize) -> bool {
        let admits = self.admits(node, len);
        if admits {
            self.set(node, self.taken(node) + len);
        }
        admits
    }

    /// Whether there is room for `len` bytes more of a node. Nobody takes more of the common room than is left to others.
    pub(super) fn admits(&self, node: PeerId, len: usize) -> bool {
        let before = self.taken(node);
        let its = self.common(before + len);
        let common_len = self.common_len + its - self.common(before);
        its == self.common(before) || its + common_len <= self.common_max
    }

    /// Bytes that a node has taken.
    pub(super) fn taken(&self, node: PeerId) -> usize {
        self.nodes.get(&node).copied().unwrap_or(0)
    }

    /// A node has these bytes now, whether or not it may.
    pub(super) fn set(&mut self, node: PeerId, len: usize) {
        let before = match len {
            0 => self.nodes.remove(&node),
            _ => self.nodes.insert(node, len),
        };
        let before = self.common(before.unwrap_or(0));
        self.common_len = self.common_len - before + self.common(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN_LEN: usize = 1000;
    const COMMON_MAX: usize = 64_000;

    /// Takes as much as a node gets, in parts of `len` bytes; answers how much that was.
    fn fill(shares: &mut Shares, node: u32, len: usize) -> usize {
        while shares.take(PeerId(node), len) {}
        shares.taken(PeerId(node))
    }

    #[test]
    fn one_node_takes_its_own_and_half_of_the_common_room() {
        let mut shares = Shares::new(OWN_LEN, COMMON_MAX);
        assert_eq!(fill(&mut shares, 1, 100), OWN_LEN + COMMON_MAX / 2);
        assert_eq!(fill(&mut shares, 2, 100), OWN_LEN + COMMON_MAX / 4);
    }

    #[test]
    fn every_node_has_its_own_whatever_the_others_take() {
        let mut shares = Shares::new(OWN_LEN, COMMON_MAX);
        for node in 1..100 {
            assert!(fill(&mut shares, node, 100) >= OWN_LEN);
            assert!(shares.common_len <= COMMON_MAX);
        }
        assert!(fill(&mut shares, 100, 30) > OWN_LEN - 30);
        (1..=100).for_each(|node| shares.set(PeerId(node), 0));
        assert_eq!((shares.common_len, shares.nodes.len()), (0, 0));
    }

    #[test]
    fn who_has_more_than_he_may_gets_no_more_and_is_a_burden_to_others() {
        let mut shares = Shares::new(OWN_LEN, COMMON_MAX);
        shares.set(PeerId(1), OWN_LEN + COMMON_MAX - 500);
        assert!(!shares.take(PeerId(1), 1));
        assert!(shares.take(PeerId(1), 0), "it takes no room");
        assert!(shares.take(PeerId(2), OWN_LEN + 250));
        assert!(!shares.take(PeerId(2), 1));
        (1..=2).for_each(|node| shares.set(PeerId(node), 0));
        assert!(shares.take(PeerId(2), OWN_LEN + COMMON_MAX / 2));
        assert!(!shares.take(PeerId(2), 1));
    }
}
