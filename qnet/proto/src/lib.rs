//! The Qnet transport: frame formats and the engine that speaks them.
//!
//! Knows no socket, no clock, no thread and no memory but its own: frames are pushed in and pulled
//! out, time is an argument, randomness comes from a seed, and the bytes of messages stay with their
//! holder behind [`Store`]. `docs/protocol.md` of the `qnet` package specifies what goes over the wire.
//!
//! - [`wire`]: formats. Packet views over received bytes, plain values to be emitted. Knows no engine.
//! - [`engine`]: sessions, calls, acknowledgement, loss, credit, names. Knows no link.
//! - [`limits`]: every limit, and the relations between them.
#![forbid(unsafe_code)]

// The bench of `tests/engine` serves unit tests, too.
#[cfg(test)]
extern crate self as qnet_proto;

mod allowance;
pub mod engine;
mod errno;
mod histogram;
mod ids;
pub mod limits;
mod time;
pub mod wire;

pub use allowance::Allowance;
pub use engine::{
    Accept, Cancel, Config, ConnectInfo, DownReason, DropReason, Dropped, Engine, Event, Foreseen,
    Incoming, LinkConfig, LinkPolicy, Load, NodeInfo, NodeState, Outgoing, PathInfo, PathState,
    PathStats, PeerStats, Pulse, Store, Transmit,
};
pub use errno::Errno;
pub use histogram::Histogram;
pub use ids::{
    InboundCall, InboundConn, InboundRun, LinkId, Mac, NodeName, OutboundCall, OutboundConn,
    OutboundRun, PeerId,
};
pub use time::Time;
