//! Send/Receive/Reply message passing for Linux, as QNX Neutrino made it known.
#![deny(unsafe_code)]

pub mod abi;
pub mod file;
pub mod proc;
pub mod trace;
