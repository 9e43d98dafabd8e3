//! Where a process is found: its listening socket in the runtime directory.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use nix::unistd::geteuid;

use crate::{
    abi::{Credentials, Errno, Nd, Pid, Result, limits::ATTACH_TIMEOUT},
    process::names::{self, Lock},
    sys::{
        failpoint::{self, Failpoint},
        runtime_dir,
        seqpacket::{Listener, Seqpacket},
    },
};

/// A name besides its pid under which a process answers; believed only of the owner of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alias {
    /// The process manager: pid 1.
    ProcessManager,
    /// The node's way to other nodes.
    Qnet,
}

/// A listening socket in the runtime directory. Dropping it removes the name.
#[derive(Debug)]
pub(crate) struct Presence {
    path: PathBuf,
    made: Made,
    listener: Listener,
}

/// What tells our file from another of the same name. Inodes are used again at once, so their birth tells, too,
/// where the filesystem knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    inode: u64,
    born: Option<SystemTime>,
}

impl Alias {
    fn file_name(self) -> &'static str {
        match self {
            Alias::ProcessManager => "1.sock",
            Alias::Qnet => "net.sock",
        }
    }
}

/// Connects to the process that answers for `pid` on node `nd`, a remote one through qnet, and checks that it
/// is who it should be. Answers whose user it is, too.
///
/// # Errors
/// `ESRCH` when there is none, `ENETDOWN` for another node and no qnet on this one, `EPERM` when who answers
/// under an alias is not the owner of the node, `ETIMEDOUT` when its process is stopped.
pub(crate) fn connect(nd: Nd, pid: Pid) -> Result<(Seqpacket, Credentials)> {
    match (nd, pid) {
        (Nd::LOCAL, Pid::PROCMGR) => connect_alias(Alias::ProcessManager, Errno::ESRCH),
        (Nd::LOCAL, pid) => connect_process(pid),
        _ => connect_alias(Alias::Qnet, Errno::ENETDOWN),
    }
}

fn connect_alias(alias: Alias, nobody: Errno) -> Result<(Seqpacket, Credentials)> {
    let dir = runtime_dir::runtime_dir();
    let connected = Seqpacket::connect(&dir.join(alias.file_name()), ATTACH_TIMEOUT);
    let socket = connected.map_err(|error| match error {
        Errno::ENOENT | Errno::ECONNREFUSED => nobody,
        other => other,
    })?;
    let (_, credentials) = socket.peer()?;
    if !runtime_dir::is_node_owner(&dir, credentials.uid) {
        return Err(Errno::EPERM);
    }
    Ok((socket, credentials))
}

/// By its first name, or by another one if somebody stands in its way.
fn connect_process(pid: Pid) -> Result<(Seqpacket, Credentials)> {
    let dir = runtime_dir::runtime_dir();
    let first = dir.join(names::first_name(pid));
    match connect_at(&first, pid) {
        Err(Errno::ESRCH) => {}
        outcome => return outcome,
    }
    let others = names::other_paths(&dir, pid);
    let mut outcomes = others.iter().map(|path| connect_at(path, pid));
    outcomes
        .find(|outcome| !matches!(outcome, Err(Errno::ESRCH)))
        .unwrap_or(Err(Errno::ESRCH))
}

/// # Errors
/// `ESRCH` when somebody else answers there, or nobody.
fn connect_at(path: &Path, pid: Pid) -> Result<(Seqpacket, Credentials)> {
    if !names::may_belong_to(path, pid) {
        return Err(Errno::ESRCH);
    }
    let connected = Seqpacket::connect(path, ATTACH_TIMEOUT);
    let socket = connected.map_err(|error| match error {
        Errno::ENOENT | Errno::ECONNREFUSED => Errno::ESRCH,
        other => other,
    })?;
    match socket.peer()? {
        (peer, credentials) if peer == pid => Ok((socket, credentials)),
        _ => Err(Errno::ESRCH),
    }
}

impl Presence {
    /// Makes the calling process findable under its pid.
    ///
    /// # Errors
    /// What the runtime directory or the descriptor limit answers.
    pub(crate) fn of_this_process() -> Result<Presence> {
        let dir = runtime_dir::runtime_dir();
        runtime_dir::ensure(&dir)?;
        let uid = geteuid().as_raw();
        let lock = Lock::take(&dir, uid);
        if let Some(lock) = &lock {
            names::remove_leftovers(&dir, uid, lock);
        }
        let pid = Pid::current();
        let first = dir.join(names::first_name(pid));
        match Presence::at(first.clone()) {
            Err(Errno::EADDRINUSE) => {}
            outcome => return outcome,
        }
        // The pid is ours, so whose name this is has gone, or never had a right to it.
        if let Some(lock) = &lock
            && names::remove_leftover(&first, lock)
            && let Ok(presence) = Presence::at(first)
        {
            return Ok(presence);
        }
        Presence::at(dir.join(names::other_name(pid)))
    }

    /// Makes the calling process findable under an alias.
    ///
    /// # Errors
    /// `EPERM` unless it runs as the owner of the node; `EADDRINUSE` when another process answers there.
    pub(crate) fn under_alias(alias: Alias) -> Result<Presence> {
        let dir = runtime_dir::runtime_dir();
        runtime_dir::ensure(&dir)?;
        if !runtime_dir::is_node_owner(&dir, geteuid().as_raw()) {
            return Err(Errno::EPERM);
        }
        // Root and the owner may both answer under it, so they share the owner's lock.
        let owner = fs::metadata(&dir).map_err(|error| Errno::of(&error))?.uid();
        let lock = Lock::take(&dir, owner);
        let path = dir.join(alias.file_name());
        match (Presence::at(path.clone()), &lock) {
            (Err(Errno::EADDRINUSE), Some(lock)) if names::remove_leftover(&path, lock) => {
                Presence::at(path)
            }
            (outcome, _) => outcome,
        }
    }

    fn at(path: PathBuf) -> Result<Presence> {
        let listener = Listener::bind(&path)?;
        failpoint::pass(Failpoint::Bound);
        let made = Made::at(&path).map_err(|error| Errno::of(&error))?;
        Ok(Presence {
            path,
            made,
            listener,
        })
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // Somebody may have cleaned the directory up before us, and another process have the name by now.
        if Made::at(&self.path).is_ok_and(|made| made == self.made) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Made {
    fn at(path: &Path) -> io::Result<Made> {
        let file = fs::symlink_metadata(path)?;
        Ok(Made {
            inode: file.ino(),
            born: file.created().ok(),
        })
    }
}
