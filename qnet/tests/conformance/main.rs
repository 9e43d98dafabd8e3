//! The suite of `docs/semantics.md`, between two nodes: the very tests that `ipc-core` runs on one, with two
//! qnets and a veth pair between their two sides.
//!
//! Where namespaces are not permitted the suite says so, and runs on one node.

mod nodes;
#[path = "../../../ipc-core/tests/semantics/suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;

pub(crate) use nodes::two_nodes;
