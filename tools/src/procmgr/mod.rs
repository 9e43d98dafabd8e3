//! The process manager of a node: ND 0, PID 1, CHID 1.
//!
//! It keeps the pathname space and answers where a path leads; it lists what lies above the prefixes; it
//! says what the node runs. All state is [`ipc_core::proc::registry`]'s, which is pure; this folder is the
//! thin loop around it. No data message ever comes here.
//!
//! - `options`, `config`: the command line, and who may register what.
//! - `manager`: messages to the registry and back; `directory`: the directories it lists itself.
//! - `tables`: names, processes, channels, blocked threads, gathered on a thread of their own.
//! - `daemon`: start, loop and stop.

mod config;
mod daemon;
mod directory;
mod manager;
mod options;
mod tables;

pub use daemon::{main, serve_node};
pub(crate) use options::command_line;
