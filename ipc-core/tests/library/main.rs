//! What the library offers above plain bytes: typed messages, parts, streams, plain durations.

mod giving_back;
#[path = "../semantics/in_time.rs"]
#[allow(dead_code, reason = "shared with tests of other binaries")]
mod in_time;
mod order;
mod parts;
mod readiness;
mod streams;
mod support;
mod timeouts;
mod typed;
