//! What ends while somebody still holds a part of it: batches of clients that have gone, queues and connections
//! that are dropped in any order, slots that nobody waits for, memory that a forked child does not have.

mod batches;
#[path = "../semantics/child.rs"]
#[allow(dead_code, reason = "shared with the tests of semantics")]
mod child;
mod forks;
mod panics;
mod pulses;
mod queues;
mod slots;
mod support;
