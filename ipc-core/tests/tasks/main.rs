//! Channels and connections in tokio's tasks.
//!
//! No test here asserts an upper bound on time: one that would wait for ever gives up after a minute.
#![cfg(feature = "tokio")]

mod cancelling;
mod ends;
mod receiving;
mod sending;
mod support;
mod turns;
