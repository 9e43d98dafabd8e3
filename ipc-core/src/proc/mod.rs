//! The process manager: its pure state, and the client that talks to it.
//!
//! - [`pathname`]: a path of the pathname space, checked and normalised.
//! - [`space`]: prefix -> ordered servers, longest match on whole components (PTH-1, PTH-2).
//! - [`rules`]: who may register what (PTH-5).
//! - [`registry`]: what belongs to which process, and what goes when it dies.
//!
//! These four are the state of the daemon. They know no channel, no clock and no file, and the daemon is
//! a loop around them.

pub mod pathname;
pub mod registry;
pub mod rules;
pub mod space;

pub use pathname::Pathname;
