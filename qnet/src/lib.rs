//! The Qnet daemon's parts, lowest first; a part sees only those above it in this list.
//!
//! - [`daemon`]: what every daemon of the project does alike: log, ready notice, stop signal.
//!   Knows nothing of messages or networks.
#![deny(unsafe_code)]

pub mod daemon;
