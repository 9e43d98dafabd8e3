//! The Qnet daemon's parts, lowest first; a part sees only those above it in this list.
//!
//! - [`daemon`]: what every daemon of the project does alike: log, ready notice, stop signal.
//!   Knows nothing of messages or networks.
//! - [`driver`]: frames in and out through one io_uring, and the sleep of the network-handler thread.
//!   Knows no format beyond the Ethernet header. The only part with `unsafe`.
//! - [`limits`]: every limit, and the relations between them.
//! - [`config`]: command line, configuration file, hosts file, as checked values.
//! - [`bridge`]: the network-handler thread: local message passing <-> the engine of `qnet_proto`.
//!   Knows no pathname.
//! - [`netmgr`]: the resource-manager thread: `/net`. Knows no frame.
//! - [`node`]: both threads together, their start and their stop.
//! - [`capture`]: the command that records the frames of a running qnet; a client of `/net` as any other.
//! - [`command_line`]: what the program can be told.
#![deny(unsafe_code)]

pub mod bridge;
pub mod capture;
pub mod command_line;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod limits;
pub mod netmgr;
pub mod node;
