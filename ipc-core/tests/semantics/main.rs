//! What `docs/semantics.md` promises of local message passing, through the public API, one file per group.
//!
//! No test here asserts an upper bound on time: where one has to wait for another thread to block, it asks
//! the channel who is blocked ([`blocked`]) until that is so.

mod blocked;
mod channels;
mod child;
mod death;
mod echo;
mod events;
mod forks;
mod pipelines;
mod pulses;
mod receive;
mod reply;
mod send;
mod timeouts;
