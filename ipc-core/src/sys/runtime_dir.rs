//! The runtime directory: what makes processes belong to one node.

use std::{
    env, fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use crate::{
    abi::{Errno, Result},
    sys::fork::Lasting,
};

/// What a program chose for itself.
static CHOSEN: Lasting<PathBuf> = Lasting::new();

/// Makes `dir` this process's runtime directory from now on, whatever the environment says. Connections
/// stay with the node they were made on, and the process's channels are found in the directory that
/// was chosen when it made the first of them: to be called before, unless a process is meant to be a
/// server of one node and a client of another. What was chosen before is not freed.
pub fn set_runtime_dir(dir: PathBuf) {
    if CHOSEN.get() != Some(&dir) {
        CHOSEN.set(dir);
    }
}

/// The directory that the user named, rather than the one of every program.
fn named() -> Option<PathBuf> {
    let variable = || env::var_os("QNET_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let chosen = CHOSEN.get().cloned();
    chosen.or_else(|| variable().map(PathBuf::from))
}

/// The node's runtime directory: what [`set_runtime_dir`] chose, else `QNET_RUNTIME_DIR`, else `/run/qnet` for root, else
/// `$XDG_RUNTIME_DIR/qnet`, else `/tmp/qnet-<uid>`.
pub fn runtime_dir() -> PathBuf {
    if let Some(dir) = named() {
        return dir;
    }
    let uid = geteuid();
    if uid.is_root() {
        return PathBuf::from("/run/qnet");
    }
    match env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Path::new(&dir).join("qnet"),
        None => PathBuf::from(format!("/tmp/qnet-{uid}")),
    }
}

/// Makes `dir` if it is not there, writable for every user but sticky: each may add its own socket
/// and remove nobody else's.
///
/// # Errors
/// `EACCES` when a directory in a place that anybody may write to belongs to another ordinary user.
pub(crate) fn ensure(dir: &Path) -> Result<()> {
    match fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(dir)
    {
        Ok(()) => {}
        Err(error) => return Err(Errno::of(&error)),
    }
    let metadata = fs::symlink_metadata(dir).map_err(|e| Errno::of(&e))?;
    if !metadata.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    let me = geteuid().as_raw();
    if metadata.uid() == me {
        if metadata.permissions().mode() & 0o7777 != 0o1777 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o1777))
                .map_err(|e| Errno::of(&e))?;
        }
        return Ok(());
    }
    let squatted = named().is_none() && metadata.uid() != 0;
    if squatted { Err(Errno::EACCES) } else { Ok(()) }
}

/// Whether `uid` may speak as this node: the owner of the runtime directory, or root.
pub(crate) fn is_node_owner(dir: &Path, uid: u32) -> bool {
    uid == 0 || fs::metadata(dir).is_ok_and(|metadata| metadata.uid() == uid)
}
