//! What a process has once: its monitor thread, its place in the runtime directory, its control
//! protocol.
//!
//! Knows neither channels nor connections: both watch their sockets through [`Watch`].

pub(crate) mod control;
mod monitor;
mod names;
mod presence;

pub(crate) use crate::sys::fork::Life;
pub(crate) use monitor::{Monitor, Next, Watch, WatchId};
pub use names::remove_runtime_dir_if_unused;
pub use presence::Alias;
pub(crate) use presence::{Presence, connect};
