//! Send/Receive/Reply message passing for Linux, as QNX Neutrino made it known.
#![deny(unsafe_code)]

pub mod abi;
pub mod proc;
