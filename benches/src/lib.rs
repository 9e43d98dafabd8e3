//! What message passing costs, beside raw primitives measured in the same run.
//!
//! ```text
//! sys      system calls, unsafe code          setting  placement, wait mode, CPUs
//! method   arms, blocks, ratios, intervals    payload  bytes that tell whether they arrived
//! exchange a message and its answer           peers    what others have built
//! rulers   raw primitives                     goals    must and aim
//! products what the project does              env      the machine
//! suite    who is compared with whom          report   table, JSON
//! ```
#![deny(unsafe_code)]

pub mod env;
pub mod exchange;
pub mod goals;
pub mod method;
pub mod nodes;
pub mod payload;
pub mod peers;
pub mod products;
pub mod report;
pub mod rulers;
pub mod setting;
pub mod suite;
pub mod sys;

/// What went wrong, as text with cause and remedy.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The outcome of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;
