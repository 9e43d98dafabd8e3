//! Two qnets on a veth pair (and in one file three, on two pairs), with a client on one node and a server on the other.
//!
//! Each node is a runtime directory and one end of the pair; both ends are in one network namespace that
//! the test makes. The process manager of each node is a stand-in: a server that takes registrations and
//! echoes everything else. The same binary plays all roles, as ignored tests in child processes.

mod crowds;
mod endings;
mod lab;
mod memory;
mod names;
mod neighbours;
mod readers;
mod server;
mod shortage;
mod sizes;
mod stopped;
mod streams;
#[path = "../support/mod.rs"]
mod support;
