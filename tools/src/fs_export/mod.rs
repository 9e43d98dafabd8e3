//! The filesystem manager: serves a directory of the host under a prefix of the pathname space.
//!
//! - [`tree`]: the one way into the directory, and never out of it.
//! - [`host_file`]: an open file of it.
//! - [`identity`]: with whose rights a thread works.
//! - [`service`]: the tables of functions that join the three.
//!
//! Knows nothing of networks: a client on another node is a client, with the user it is mapped to.

mod daemon;
pub mod host_file;
pub mod identity;
pub mod service;
#[allow(unsafe_code, reason = "system calls that no crate wraps")]
mod sys;
pub mod tree;

pub use daemon::{Options, run};
