//! Send, receive, reply, read, write and pulses between threads of one process.

mod ends;
#[path = "../semantics/in_time.rs"]
#[allow(dead_code, reason = "shared with tests of other binaries")]
mod in_time;
mod order;
mod queues;
mod support;
mod timeouts;
mod transfer;
