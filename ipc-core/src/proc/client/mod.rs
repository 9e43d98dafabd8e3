//! The client of process managers: walks, registrations, names and tables.
//!
//! - `walk`: from server to server, as a pure machine (PTH-1, PTH-3, PTH-4).
//! - `arrive`: drives a walk by sending; `pool`: idle connections of the process;
//!   `traced`: what the trace shows of it.
//! - `registration`: what this process has registered; `keeper`: registers it again when the process
//!   manager comes back; `watch`: how that is noticed; `background`: who asks it while others wait so long.
//! - `served`: whether a path is anybody's, found out by what is done with it.
//! - `names`, `query`: named servers, and tables of what a node runs.

pub(crate) mod arrive;
mod background;
mod keeper;
mod names;
pub(crate) mod pool;
mod query;
mod registration;
mod served;
mod traced;
pub(crate) mod walk;
mod watch;

pub use arrive::translate as resolve_node;
pub use names::{NameScope, name_attach, name_open};
pub use query::table;
pub use registration::{Registration, attach_prefix, attach_prefix_with};
pub use served::if_served;
