//! Peers that speak the attach protocol by hand and keep no promise: they must hurt nobody but themselves.
//!
//! The offsets in [`raw`] are those of `docs/shm-layout.md`, written out again: a change of the layout that
//! the document does not follow breaks these tests.

mod attach;
mod batches;
#[path = "../semantics/child.rs"]
#[allow(dead_code, reason = "shared with the tests of semantics")]
mod child;
mod entries;
mod evil_server;
mod floods;
mod honest;
mod leases;
mod random;
mod raw;
mod records;
mod scribble;
mod server;
#[path = "../serving/mod.rs"]
mod serving;
mod share;
mod victim;
mod victims_ahead;
