//! Any bytes, as a frame from a stranger and as the records of a frame in a session.
#![no_main]

#[path = "../frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frame::check(bytes));
