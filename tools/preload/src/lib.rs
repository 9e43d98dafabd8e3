//! Preload library: an unmodified program opens, reads and writes through the pathname space.
//!
//! `LD_PRELOAD=libqnet_preload.so program` puts these functions in front of the C library's. A path that a
//! server of this node's pathname space answers for is opened there; every other path, and every call on a
//! descriptor that is not ours, goes to the C library untouched. Without a process manager nothing changes.
//!
//! - [`real`]: the C library's own functions, found once; [`argument`]: what they are called with.
//! - [`shield`]: the border: no re-entrance, no panic across it, errno set as the C library would.
//! - [`route`]: whose path is this?
//! - [`table`]: which descriptors are ours; [`addresses`]: which streams.
//! - [`placeholder`]: what stands for them in the system's own table.
//! - [`working`]: the working directory.
//! - [`sealed`]: notes that follow a descriptor through fork and exec.
//! - [`inherit`]: files that another image of this process, or its parent, has opened.
//! - [`calls`]: the functions themselves, by subject.
//!
//! What the C library does inside itself passes by this library: `fopen`, `opendir`, `realpath`, `mkstemp` and what
//! they return are therefore replaced as a whole, and so is a standard stream whose descriptor becomes a file of ours, by
//! a new value of the program's variable. What is not (`inotify_add_watch`) is refused for paths that are ours: a file of
//! the system's that has the same path must neither be taken for it nor be made. Only what a program loads or binds a socket
//! to, and `posix_spawn`'s file actions, are the system's whatever their path is; what it executes is, where the system
//! has it. Where the working
//! directory is one of ours, the system's is a directory that is there no more: what passes by finds nothing under a
//! relative path.
//!
//! A child shares the parent's files, offset included, by a connection of its own: one made by `fork` from its first call
//! on, for as long as the parent has them open then; an executed program from its start on, before its own code runs. One
//! that borrows its parent's memory (by `clone`; `vfork` is `fork` here) gets EBADF on files of ours, what it executes has
//! them.

mod addresses;
mod argument;
#[allow(unreachable_pub, reason = "the dynamic linker reaches them")]
#[cfg_attr(
    test,
    allow(dead_code, reason = "the test program keeps the C library's functions")
)]
mod calls;
mod inherit;
mod placeholder;
mod real;
mod route;
mod sealed;
mod shield;
mod table;
mod working;
