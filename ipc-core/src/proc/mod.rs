//! The process manager: its pure state, and the client that talks to it.
//!
//! - [`pathname`]: a path of the pathname space, checked and normalised.
//! - [`space`]: prefix -> ordered servers, longest match on whole components (PTH-1, PTH-2).
//! - [`rules`]: who may register what (PTH-5).
//! - [`registry`]: what belongs to which process, and what goes when it dies.
//!
//! These four are the state of the daemon. They know no channel, no clock and no file, and the daemon is
//! a loop around them. The rest is for everyone else:
//!
//! - [`attach_prefix`], [`name_attach`]: put a server into the pathname space, for as long as the
//!   [`Registration`] lives.
//! - [`name_open`], [`resolve_node`], [`table`]: find a server by name, a node, what a node runs.
//! - `client`: the walk of a path, which files are made of.

pub(crate) mod client;
pub mod pathname;
pub mod registry;
pub mod rules;
pub mod space;

pub use client::{
    NameScope, Registration, attach_prefix, attach_prefix_with, name_attach, name_open,
    resolve_node, table,
};
pub use pathname::Pathname;
