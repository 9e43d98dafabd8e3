//! The names of sockets in the runtime directory: whose they are, which are leftovers, and who may remove them.
//!
//! Anybody may put anything into the directory, so a name proves nothing: what connects is asked who it is.
//! A name is only ever removed by the user it belongs to, and under that user's lock, so that nobody removes
//! what another process has just put in the place of a leftover.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{fcntl::OFlag, sys::signal::kill};

use crate::{
    abi::{
        Pid,
        limits::{LEFTOVER_LOCK_TIMEOUT, NAMES_TRIED_MAX},
    },
    sys::{clock, descriptor::Descriptor, file_lock, seqpacket::Seqpacket},
};

/// What every name of a listening socket ends with.
const SUFFIX: &str = ".sock";

/// The name of a process that nobody stands in the way of.
pub(super) fn first_name(pid: Pid) -> String {
    format!("{pid}{SUFFIX}")
}

/// Another name of the process, for when somebody else has the first: one that nobody can have taken before.
pub(super) fn other_name(pid: Pid) -> String {
    use std::hash::{BuildHasher, Hasher};
    // The hasher's keys are random and private to this process.
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{pid}.{random:016x}{SUFFIX}")
}

/// Whose a name is, for either form.
fn owner(name: &str) -> Option<Pid> {
    let stem = name.strip_suffix(SUFFIX)?;
    let pid = stem.split_once('.').map_or(stem, |(pid, _)| pid);
    pid.parse().ok().map(Pid).filter(|pid| pid.0 > 1)
}

/// Where process `pid` may be found besides its first name. Names of users that it does not run as, and more
/// than a few of one user, are not even tried: each costs a connect.
pub(super) fn other_paths(dir: &Path, pid: Pid) -> Vec<PathBuf> {
    let first = first_name(pid);
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    let others = names.filter(|entry| {
        let name = entry.file_name();
        name.to_str()
            .is_some_and(|name| name != first && owner(name) == Some(pid))
    });
    others
        .map(|entry| entry.path())
        .filter(|path| may_belong_to(path, pid))
        .take(NAMES_TRIED_MAX)
        .collect()
}

/// Whether the file at `path` may have been made by process `pid`: by its user, or by root before the process
/// gave its rights up. Where the kernel does not say who the process runs as, everybody may have.
pub(super) fn may_belong_to(path: &Path, pid: Pid) -> bool {
    let Ok(file) = fs::symlink_metadata(path) else {
        return false;
    };
    let is_alive = || !is_dead(pid);
    let by_user = || users(pid).is_none_or(|users| users.contains(&file.uid()));
    is_alive() && (file.uid() == 0 || by_user())
}

/// The user ids of a process: real, effective, saved, and that of files it makes.
fn users(pid: Pid) -> Option<Vec<u32>> {
    // Not the owner of the folder: for a process that may not be dumped that is root.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().map(|id| id.parse().ok()).collect()
}

/// Removes the names that killed processes of user `uid` left in `dir`.
pub(super) fn remove_leftovers(dir: &Path, uid: u32, _lock: &Lock) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of_dead = name.to_str().and_then(owner).is_some_and(is_dead);
        let path = entry.path();
        // A process of another pid namespace is dead only as far as we can see.
        if of_dead && is_of(&path, uid) && Seqpacket::is_leftover(&path) {
            // Gone is gone, whoever did it.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Removes the name `path` if nobody listens there any more; answers whether the way is free.
pub(super) fn remove_leftover(path: &Path, _lock: &Lock) -> bool {
    Seqpacket::is_leftover(path) && fs::remove_file(path).is_ok()
}

fn is_of(path: &Path, uid: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.uid() == uid)
}

fn is_dead(pid: Pid) -> bool {
    kill(nix::unistd::Pid::from_raw(pid.0), None) == Err(nix::errno::Errno::ESRCH)
}

/// Removes a runtime directory that nothing is left in but the own user's lock; whether it has gone. A process
/// that comes at this very moment has to make the directory again.
pub fn remove_runtime_dir_if_unused(dir: &Path) -> bool {
    let uid = nix::unistd::geteuid().as_raw();
    let Some(_lock) = Lock::take(dir, uid) else {
        return false;
    };
    let file = lock_path(dir, uid);
    let is_lock = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.path() == file);
    let is_unused = fs::read_dir(dir).is_ok_and(|mut entries| entries.all(is_lock));
    is_unused && fs::remove_file(&file).is_ok() && fs::remove_dir(dir).is_ok()
}

fn lock_path(dir: &Path, uid: u32) -> PathBuf {
    dir.join(format!("{uid}.lock"))
}

/// The right of one user to remove names. Ends with the value, or the process.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] Descriptor);

/// Time between two looks whether the lock is free.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Lock {
    /// The lock of user `uid` in `dir`. `None` if somebody else's file stands in its place, or a process holds
    /// it for longer than it can have reason to: then nothing is removed.
    pub(super) fn take(dir: &Path, uid: u32) -> Option<Lock> {
        let path = lock_path(dir, uid);
        let deadline_ns = clock::deadline_ns(LEFTOVER_LOCK_TIMEOUT);
        loop {
            let file = open(&path, uid)?;
            let opened = inode(&file.metadata().ok()?);
            let file = Descriptor::keep(file.into()).ok()?;
            // Who held it may have removed the file with the directory: then it is the lock of nothing.
            let is_there = || fs::symlink_metadata(&path).is_ok_and(|file| inode(&file) == opened);
            if file_lock::try_lock(&file) && is_there() {
                return Some(Lock(file));
            }
            if clock::monotonic_ns() > deadline_ns {
                return None;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn inode(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Opens or makes the lock file of user `uid`, who is ourselves unless we are root.
fn open(path: &Path, uid: u32) -> Option<File> {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(flags.bits());
    let made = || {
        let file = options.clone().create_new(true).open(path)?;
        std::os::unix::fs::fchown(&file, Some(uid), None).map(|()| file)
    };
    // Another process may make it between the first look and our try.
    let file = options
        .open(path)
        .or_else(|_| made())
        .or_else(|_| options.open(path))
        .ok()?;
    let is_own = file
        .metadata()
        .is_ok_and(|data| data.uid() == uid && data.is_file());
    is_own.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_it_is_in_either_form() {
        let pid = Pid(4711);
        assert_eq!(owner(&first_name(pid)), Some(pid));
        assert_eq!(owner(&other_name(pid)), Some(pid));
        assert_ne!(other_name(pid), other_name(pid));
        assert!(
            users(Pid::current())
                .unwrap()
                .contains(&nix::unistd::geteuid().as_raw())
        );
        for name in [
            "1.sock",
            "net.sock",
            "0.lock",
            "x.4711.sock",
            "-5.sock",
            ".sock",
        ] {
            assert_eq!(owner(name), None, "{name}");
        }
    }

    #[test]
    fn an_unused_directory_goes_and_one_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("qnet");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("77.lock"), "").unwrap();
        assert!(!remove_runtime_dir_if_unused(&dir), "somebody else's lock");
        fs::remove_file(dir.join("77.lock")).unwrap();
        assert!(remove_runtime_dir_if_unused(&dir) && !dir.exists());
        assert!(!remove_runtime_dir_if_unused(&dir), "it has gone");
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time_and_a_strangers_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let first = Lock::take(dir.path(), uid).unwrap();
        assert!(Lock::take(dir.path(), uid).is_none());
        drop(first);
        assert!(Lock::take(dir.path(), uid).is_some());
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("77.lock")).unwrap();
        assert!(Lock::take(dir.path(), 77).is_none());
    }
}
