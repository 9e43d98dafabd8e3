//! The Qnet daemon's parts, lowest first; a part sees only those above it in this list.
//!
//! - [`daemon`]: what every daemon of the project does alike: log, ready notice, stop signal.
//!   Knows nothing of messages or networks.
//! - [`driver`]: frames in and out through one io_uring, and the sleep of the network-handler thread.
//!   Knows no format beyond the Ethernet header. The only part with `unsafe`.
//! - [`config`]: command line, configuration file, hosts file, as checked values.
#![deny(unsafe_code)]

pub mod config;
pub mod daemon;
pub mod driver;
