//! Which links the messages of a connection may take.

use crate::LinkId;

/// Chooses among the links of this node, for one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkPolicy {
    /// Any link that is up; several at the same time when one does not suffice.
    #[default]
    LoadBalance,
    /// This link while it is up, else any other.
    Preferred(LinkId),
    /// This link and no other: while it is down nothing moves, and past the tolerance the connection ends.
    Exclusive(LinkId),
}

impl LinkPolicy {
    /// The one link that is named.
    pub fn link(self) -> Option<LinkId> {
        match self {
            LinkPolicy::LoadBalance => None,
            LinkPolicy::Preferred(link) | LinkPolicy::Exclusive(link) => Some(link),
        }
    }

    /// For what must arrive even if the link does not come back: the end of calls and connections.
    pub(super) fn at_all_costs(self) -> LinkPolicy {
        match self {
            LinkPolicy::Exclusive(link) => LinkPolicy::Preferred(link),
            other => other,
        }
    }
}
