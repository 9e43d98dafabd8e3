//! Client files over connections: what is done at the end of a path.
//!
//! - [`File`], [`OpenOptions`], [`ReadDir`]: open files, with std's `Read`, `Write` and `Seek`.
//! - `paths`: what needs no open file: [`stat`], [`unlink`], [`mkdir`], [`rename`], ...
//! - [`Handover`]: files that outlive an `exec`.
//! - `identity`: what tells a file from those of other servers and nodes.
//! - [`describe()`]: an error as a person needs it, with the command that mends it.
//!
//! A path here is absolute, and is one of the pathname space; the host's own files are std's business.

mod describe;
mod dir;
mod handover;
mod identity;
mod open;
mod options;
mod paths;
mod streams;
mod umask;

pub use crate::connection::heeding_signals;
pub use crate::proc::client::if_served;
pub use describe::{describe, describe_missing_procmgr, describe_refused_prefix};
pub use dir::{Entry, ReadDir};
pub use handover::Handover;
pub use open::File;
pub use options::OpenOptions;
pub use paths::{
    access, chmod, chown, is_served, lchmod, lchown, link, lstat, mkdir, read, read_dir, readlink,
    rename, rmdir, server_of, set_link_times, set_times, stat, statvfs, symlink, truncate, unlink,
    write,
};
