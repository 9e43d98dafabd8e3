//! What the program around the library may do to it, and strangers to its names: descriptors that are closed or
//! run out, children, files that stand in the way.

#[path = "../semantics/child.rs"]
#[allow(dead_code, reason = "shared with the tests of semantics")]
mod child;
mod closed;
mod descriptors;
mod forked;
mod locks;
mod memory;
mod names;
mod processes;
mod room;
mod server;
#[path = "../serving/mod.rs"]
mod serving;
mod silent;
mod stopped;
