//! Preload library: an unmodified program opens, reads and writes through the pathname space.
//!
//! `LD_PRELOAD=libqnet_preload.so program` puts these functions in front of the C library's. A path that a
//! server of this node's pathname space answers for is opened there; every other path, and every call on a
//! descriptor that is not ours, goes to the C library untouched. Without a process manager nothing changes.
//!
//! - [`real`]: the C library's own functions, found once.
//! - [`shield`]: the border: no re-entrance, no panic across it, errno set as the C library would.
//! - [`route`]: whose path is this?
//! - [`table`]: which descriptors are ours.
//! - [`calls`]: the functions themselves, by subject.
//!
//! Each open file holds a real descriptor, so that its number is taken, closed, duplicated and inherited as
//! any other; it is an `O_PATH` descriptor, so that whatever passes this library by (a direct system call,
//! a program that is executed with it) gets EBADF and never wrong bytes. What the C library does inside
//! itself passes by as well: `fopen`, `opendir`, `realpath`, `mkstemp` and what they return are therefore replaced as a
//! whole, and what is not (`glob`, `nftw`, `scandir`, `freopen`, `inotify_add_watch`) is refused for paths that are ours:
//! a file of the system's that has the same path must neither be taken for it nor be made. Only what a program executes,
//! loads or binds a socket to, and `posix_spawn`'s file actions, are the system's whatever their path is. A standard
//! stream of the program's that was redirected by number (`echo` of some shells, `sort -o`) cannot write. The working
//! directory is always the system's: an executed child would not have another, and would find other files
//! under the same names; to go to a directory of ours is EOPNOTSUPP. A child made by `fork` shares the parent's files, offset included, for as long as the parent has them open when the
//! child first uses them; after that its calls on them are EBADF.

#[allow(unreachable_pub, reason = "the dynamic linker reaches them")]
#[cfg_attr(
    test,
    allow(dead_code, reason = "the test program keeps the C library's functions")
)]
mod calls;
mod real;
mod route;
mod shield;
mod table;
