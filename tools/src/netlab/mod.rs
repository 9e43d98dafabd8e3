//! netlab: nodes made of network namespaces, joined by a switch that can be told to misbehave.
//!
//! A lab is one supervisor process and what the kernel frees when it ends. As a library:
//!
//! ```no_run
//! use tools::netlab::{Cut, Lab, LabOptions};
//! # fn main() -> std::io::Result<()> {
//! let lab = Lab::up(&LabOptions::default())?;
//! lab.exec("magenta", "qn").args(["ls", "/net/wintermute/home"]).status()?;
//! lab.cut("wintermute", Cut::Link)?;
//! # Ok(()) }
//! ```
//!
//! - `protocol` orders and answers between commands and supervisor
//! - `control` the socket they cross
//! - `supervisor` the process that is a lab
//! - `switch` the seeded switch, instead of the kernel's bridge
//! - `net` links and frames; knows no lab
//! - `enter` a command on a node
//! - `capture` frames on the wire
//! - `lab` a lab as a value
//! - `programs` what a node runs
//! - `demo` the walk to a file on another node, shown
//! - `cli` the command line
//! - `sys` system calls without a safe wrapper

mod capture;
pub mod cli;
mod control;
mod demo;
mod enter;
mod lab;
pub mod net;
mod programs;
mod protocol;
mod supervisor;
mod switch;
mod sys;

pub use capture::{Capture, Frame, write_pcap};
pub use lab::{Lab, LabOptions};
pub use programs::Programs;
pub use protocol::{CableStatus, Cut, DaemonStatus, Faults, LabStatus, NodeStatus, SwitchCounters};
