//! What crosses a process boundary: identifiers, error numbers, message info, pulses and limits.
//!
//! Knows no other module of this crate, makes no system call and contains no `unsafe`.

#![forbid(unsafe_code)]

mod errno;
mod event;
mod flags;
mod ids;
mod info;
pub mod io;
pub mod limits;
pub mod proc;
mod pulse;
mod stats;

pub use errno::{Errno, Result};
pub use event::EventHandle;
pub use flags::{AttachFlags, ChannelFlags};
pub use ids::{Chid, Coid, Nd, Pid, Rcvid, Scoid, Tid};
pub use info::{ClientInfo, Credentials, MessageInfo, ServerInfo};
pub use pulse::{Priority, Pulse, PulseCode};
pub use stats::ChannelStats;
