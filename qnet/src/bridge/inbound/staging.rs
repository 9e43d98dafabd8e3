//! Messages that have no buffer yet: their first bytes, for which every node has room.

use qnet_proto::PeerId;

use crate::{
    bridge::inbound::shares::Shares,
    limits::{STAGED_COMMON_LEN, STAGED_OWN_LEN},
};

/// The first bytes of a message that has no buffer yet.
pub(super) struct Staged {
    from: PeerId,
    pub(super) bytes: Vec<u8>,
}

/// The room for them.
pub(super) struct Staging(Shares);

impl Default for Staging {
    fn default() -> Staging {
        Staging(Shares::new(STAGED_OWN_LEN, STAGED_COMMON_LEN))
    }
}

impl Staging {
    /// Room for `len` bytes of a message from `from`, to be [given back](Self::give_back); `None` if there is none.
    pub(super) fn take(&mut self, from: PeerId, len: usize) -> Option<Staged> {
        self.0.take(from, len).then(|| Staged {
            from,
            bytes: vec![0; len],
        })
    }

    /// The message has a buffer now, or needs none any more.
    pub(super) fn give_back(&mut self, staged: &Staged) {
        let left = self.0.taken(staged.from) - staged.bytes.len();
        self.0.set(staged.from, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_there_for_others() {
        let mut staging = Staging::default();
        let mut taken: Vec<_> =
            std::iter::from_fn(|| staging.take(PeerId(1), STAGED_OWN_LEN)).collect();
        assert_eq!(
            taken.len() * STAGED_OWN_LEN,
            STAGED_OWN_LEN + STAGED_COMMON_LEN / 2
        );
        assert!(staging.take(PeerId(1), 10_000).is_none());
        staging.give_back(&taken.pop().expect("it took some"));
        assert!(staging.take(PeerId(1), 10_000).is_some());
    }
}
