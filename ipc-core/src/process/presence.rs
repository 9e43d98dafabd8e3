//! Where a process is found: its listening socket in the runtime directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::signal::kill;

use crate::{
    abi::{Errno, Nd, Pid, Result, limits::ATTACH_TIMEOUT},
    sys::{
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
    listener: Listener,
}

impl Alias {
    fn file_name(self) -> &'static str {
        match self {
            Alias::ProcessManager => "1.sock",
            Alias::Qnet => "net.sock",
        }
    }
}

/// Where a client finds process `pid` of node `nd`: a remote process is reached through qnet.
pub(crate) fn socket_path(nd: Nd, pid: Pid) -> PathBuf {
    let dir = runtime_dir::runtime_dir();
    match (nd, pid) {
        (Nd::LOCAL, Pid::PROCMGR) => dir.join(Alias::ProcessManager.file_name()),
        (Nd::LOCAL, pid) => dir.join(format!("{pid}.sock")),
        _ => dir.join(Alias::Qnet.file_name()),
    }
}

impl Presence {
    /// Makes the calling process findable under its pid.
    pub(crate) fn of_this_process() -> Result<Presence> {
        Presence::at(&format!("{}.sock", Pid::current()))
    }

    /// Makes the calling process findable under an alias.
    ///
    /// # Errors
    /// `EPERM` unless it runs as the owner of the node; `EADDRINUSE` when another process answers there.
    pub(crate) fn under_alias(alias: Alias) -> Result<Presence> {
        let dir = runtime_dir::runtime_dir();
        runtime_dir::ensure(&dir)?;
        if !runtime_dir::is_node_owner(&dir, nix::unistd::geteuid().as_raw()) {
            return Err(Errno::EPERM);
        }
        Presence::at(alias.file_name())
    }

    fn at(name: &str) -> Result<Presence> {
        let dir = runtime_dir::runtime_dir();
        runtime_dir::ensure(&dir)?;
        remove_leftovers(&dir);
        let path = dir.join(name);
        let listener = match Listener::bind(&path) {
            Err(Errno::EADDRINUSE) if is_leftover(&path) => {
                remove(&path)?;
                Listener::bind(&path)?
            }
            other => other?,
        };
        Ok(Presence { path, listener })
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // Somebody may have cleaned the directory up before us; the name being gone is the aim.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the names that killed processes left in `dir`, as far as this user may.
fn remove_leftovers(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let pid = name
            .and_then(|name| name.strip_suffix(".sock"))
            .and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid: i32| pid > 1 && is_dead(pid)) {
            // Another user's leftover stays: the sticky directory says no, and it harms nobody.
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_dead(pid: i32) -> bool {
    kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH)
}

/// Whether nobody listens at `path` any more.
fn is_leftover(path: &Path) -> bool {
    let connected = Seqpacket::connect(path, ATTACH_TIMEOUT);
    matches!(connected, Err(Errno::ECONNREFUSED))
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|error| Errno::of(&error))
}
