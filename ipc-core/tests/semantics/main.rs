//! What `docs/semantics.md` promises of message passing, on one node. The same [`suite`] runs between two
//! nodes in `qnet/tests/conformance`.

// Batches count on what was sent being there at once: between nodes they are as large as they come.
mod ahead;
mod suite;

/// Both sides of every test are on this node.
pub(crate) fn two_nodes() -> Option<suite::TwoNodes> {
    None
}
