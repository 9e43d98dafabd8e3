//! What the library offers above plain bytes: typed messages, parts, streams, plain durations.

mod order;
mod parts;
mod readiness;
mod streams;
mod support;
mod timeouts;
mod typed;
