//! What `docs/semantics.md` promises of message passing, through the public API, one file per group.
//!
//! The suite does not know where its two sides are: a channel is made by [`echo::channel`] and attached to
//! by [`place::attach`], and [`place`] settles whether what lies between them is shared memory or a
//! network. Whoever runs the suite says so in `crate::two_nodes`.
//!
//! No test here asserts an upper bound on time: where one has to wait for another thread to block, it asks
//! the channel who is blocked ([`blocked`]) until that is so.

pub(crate) mod blocked;
mod channels;
#[path = "../child.rs"]
#[allow(dead_code, reason = "shared with tests of other binaries")]
pub(crate) mod child;
mod death;
pub(crate) mod echo;
mod events;
mod forks;
#[path = "../in_time.rs"]
#[allow(dead_code, reason = "shared with tests of other binaries")]
mod in_time;
pub(crate) mod place;
pub(crate) mod priority;
mod pulses;
mod receive;
mod reply;
mod send;
mod timeouts;

pub(crate) use place::TwoNodes;
