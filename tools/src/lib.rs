//! The programs around the library: the process manager, the filesystem manager, the lab and the
//! operator's command. A folder is a program; the binaries are thin.
//!
//! - `fs_export` the filesystem manager: a directory of the host under a prefix
//! - `netlab` nodes in network namespaces, on one machine
//! - `procmgr` the process manager: which server owns which path
//! - `qn` the operator's command: files on any node, and what a node runs
//! - `soak` local message passing under all its loads at once, for hours
#![deny(unsafe_code)]

pub mod fs_export;
pub mod netlab;
pub mod procmgr;
pub mod qn;
pub mod soak;
