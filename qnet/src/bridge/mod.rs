//! Local message passing on one side, the transport engine on the other: the network-handler thread.
//!
//! Knows no pathname and no frame format. The one invariant: a message is in exactly one place, and
//! whoever holds it answers it once.
//!
//! ```text
//!  local client --> router's channel --> Outbound --\            /--> Link --> wire
//!                                                     Engine
//!  local server <-- connection, loan <-- Inbound  --/            \--> events, timeout
//!                        ^ attach: Attacher (helper threads)
//!  resource-manager thread --> Mailbox --> Network (the loop around all of it) --> Answers
//! ```

#![forbid(unsafe_code)]

mod attacher;
mod bells;
mod by_place;
mod counters;
mod handles;
mod inbound;
mod mailbox;
mod network;
mod outbound;
mod own_ids;
mod pace;
mod resolving;
mod siege;
mod store;
mod turn;

pub use counters::{BridgeCounters, LinkStatistics, NodeStatistics, PathStatistics, Statistics};
pub(crate) use mailbox::{Mailbox, Request};
pub use network::{Network, NetworkError, NetworkSetup};
pub(crate) use resolving::{Answer, Answers, RESOLVED};
use turn::Turn;
