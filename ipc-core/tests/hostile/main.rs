//! A client that speaks the attach protocol by hand and keeps no promise: it must hurt nobody but itself.
//!
//! The offsets in [`raw`] are those of `docs/shm-layout.md`, written out again: a change of the layout that
//! the document does not follow breaks these tests.

mod attach;
mod entries;
mod raw;
mod records;
mod scribble;
mod server;
