//! Room for messages that have no buffer yet: a share of its own for each node, and what all have in common.
//!
//! Nodes that fill the common room leave each other's shares alone, so that the first messages of a client find room
//! whatever the clients of other nodes send.

use qnet_proto::PeerId;

use crate::{
    bridge::own_ids::OwnIds,
    limits::{STAGED_COMMON_LEN, STAGED_OWN_LEN},
};

/// The first bytes of a message that has no buffer yet.
pub(super) struct Staged {
    from: PeerId,
    pub(super) bytes: Vec<u8>,
}

/// How much of the room is taken.
#[derive(Default)]
pub(super) struct Staging {
    /// Bytes by node; none is 0.
    nodes: OwnIds<PeerId, usize>,
    /// Of these, bytes beyond each one's share.
    common_len: usize,
}

/// Of a node's bytes, those beyond its share.
fn common(len: usize) -> usize {
    len.saturating_sub(STAGED_OWN_LEN)
}

impl Staging {
    /// Room for `len` bytes of a message from `from`, to be [given back](Self::give_back); `None` if there is none.
    /// Nobody takes more of the common room than is left to others.
    pub(super) fn take(&mut self, from: PeerId, len: usize) -> Option<Staged> {
        let before = self.nodes.get(&from).copied().unwrap_or(0);
        let (all, its) = (before + len, common(before + len));
        let common_len = self.common_len + its - common(before);
        if its > common(before) && its + common_len > STAGED_COMMON_LEN {
            return None;
        }
        self.common_len = common_len;
        self.nodes.insert(from, all);
        let bytes = vec![0; len];
        Some(Staged { from, bytes })
    }

    /// The message has a buffer now, or needs none any more.
    pub(super) fn give_back(&mut self, staged: &Staged) {
        let before = self.nodes.remove(&staged.from).unwrap_or(0);
        let left = before - staged.bytes.len();
        self.common_len -= common(before) - common(left);
        if left > 0 {
            self.nodes.insert(staged.from, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use qnet_proto::limits::{EAGER_LEN, PEERS_MAX};

    use super::*;

    /// Takes as much as `from` gets, in parts of `len` bytes.
    fn fill(staging: &mut Staging, from: u32, len: usize) -> Vec<Staged> {
        std::iter::from_fn(|| staging.take(PeerId(from), len)).collect()
    }

    fn len_of(taken: &[Staged]) -> usize {
        taken.iter().map(|staged| staged.bytes.len()).sum()
    }

    #[test]
    fn one_node_takes_its_share_and_half_of_the_common_room() {
        let mut staging = Staging::default();
        let taken = fill(&mut staging, 1, EAGER_LEN);
        assert_eq!(len_of(&taken), STAGED_OWN_LEN + STAGED_COMMON_LEN / 2);
        let second = fill(&mut staging, 2, EAGER_LEN);
        assert_eq!(len_of(&second), STAGED_OWN_LEN + STAGED_COMMON_LEN / 4);
    }

    #[test]
    fn every_node_has_its_share_whatever_the_others_take() {
        let mut staging = Staging::default();
        let nodes = PEERS_MAX as u32;
        let mut all: Vec<_> = (1..nodes)
            .map(|from| fill(&mut staging, from, EAGER_LEN))
            .collect();
        assert!(staging.common_len <= STAGED_COMMON_LEN);
        for taken in &all {
            assert!(len_of(taken) >= STAGED_OWN_LEN);
        }
        let last = fill(&mut staging, nodes, 1000);
        assert!(len_of(&last) > STAGED_OWN_LEN - 1000);
        all.push(last);
        all.iter()
            .flatten()
            .for_each(|staged| staging.give_back(staged));
        assert_eq!((staging.common_len, staging.nodes.len()), (0, 0));
    }

    #[test]
    fn what_is_given_back_is_there_for_others() {
        let mut staging = Staging::default();
        let mut taken = fill(&mut staging, 1, 10_000);
        assert!(staging.take(PeerId(1), 10_000).is_none());
        assert!(staging.take(PeerId(1), 0).is_some(), "it takes no room");
        staging.give_back(&taken.pop().expect("it took some"));
        assert!(staging.take(PeerId(1), 10_000).is_some());
        assert!(staging.take(PeerId(1), 10_000).is_none());
    }
}
