//! What is known of a name: owner, mode, size, times. All opens of the name share it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::abi::io::{Access, FileType, Stat, TimeSet, TimeSpec};
use crate::abi::{Credentials, Errno, Result};

/// The attributes of one name that a resource manager serves.
#[derive(Debug)]
#[doc(alias = "iofunc_attr_t")]
pub struct Attr(Mutex<Stat>);

/// Numbers for attributes whose manager has none of its own.
static NEXT_INODE: AtomicU64 = AtomicU64::new(1);

impl Attr {
    /// Attributes as they stand in `stat`.
    pub fn new(stat: Stat) -> Arc<Attr> {
        Arc::new(Attr(Mutex::new(stat)))
    }

    /// A character device with these permission bits, owned by this process, with an inode number of its own.
    pub fn device(permissions: u32) -> Arc<Attr> {
        Attr::made_now(FileType::Character, permissions)
    }

    /// A directory with these permission bits, owned by this process, with an inode number of its own.
    pub fn directory(permissions: u32) -> Arc<Attr> {
        Attr::made_now(FileType::Directory, permissions)
    }

    /// A regular file with these permission bits, owned by this process, with an inode number of its own.
    pub fn file(permissions: u32) -> Arc<Attr> {
        Attr::made_now(FileType::Regular, permissions)
    }

    fn made_now(file_type: FileType, permissions: u32) -> Arc<Attr> {
        let now = now();
        Attr::new(Stat {
            ino: NEXT_INODE.fetch_add(1, Ordering::Relaxed),
            mode: file_type.mode_bits() | permissions & 0o7777,
            nlink: 1,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            blksize: 4096,
            atime: now,
            mtime: now,
            ctime: now,
            ..Stat::default()
        })
    }

    /// A copy of the attributes as they are now.
    pub fn stat(&self) -> Stat {
        *self.lock()
    }

    /// Changes the attributes; nobody sees them half changed.
    pub fn update<R>(&self, change: impl FnOnce(&mut Stat) -> R) -> R {
        change(&mut self.lock())
    }

    /// Whether a client may do `access` (see [`check_access`]).
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check_access(&self, client: Credentials, access: Access) -> Result<()> {
        check_access(&self.stat(), client, access)
    }

    /// Sets permission bits: the owner's and root's right. For others than root, set-group-id is lost where
    /// the file's group is not the client's.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn chmod(&self, client: Credentials, mode: u32) -> Result<()> {
        self.update(|stat| {
            owner_or_root(stat, client)?;
            let kept = if client.uid == 0 || client.gid == stat.gid {
                0o7777
            } else {
                0o5777
            };
            stat.mode = stat.mode & !0o7777 | mode & kept;
            stat.ctime = now();
            Ok(())
        })
    }

    /// Sets owner and group. Root may all; the owner may give the file to its own group and "change" the
    /// owner to itself.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn chown(&self, client: Credentials, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.update(|stat| {
            let keeps_owner = uid.is_none_or(|uid| uid == stat.uid);
            let own_group = gid.is_none_or(|gid| gid == stat.gid || gid == client.gid);
            if client.uid != 0 && !(client.uid == stat.uid && keeps_owner && own_group) {
                return Err(Errno::EPERM);
            }
            stat.uid = uid.unwrap_or(stat.uid);
            stat.gid = gid.unwrap_or(stat.gid);
            if client.uid != 0 {
                stat.mode &= !0o6000;
            }
            stat.ctime = now();
            Ok(())
        })
    }

    /// Sets times. To the time now is the right of whoever may write, to any other the owner's.
    ///
    /// # Errors
    /// `EACCES`, `EPERM`.
    pub fn utime(&self, client: Credentials, atime: TimeSet, mtime: TimeSet) -> Result<()> {
        self.update(|stat| {
            let to_now = atime == TimeSet::Now && mtime == TimeSet::Now;
            match owner_or_root(stat, client) {
                Err(_) if to_now => check_access(stat, client, Access::WRITE)?,
                checked => checked?,
            }
            set_time(&mut stat.atime, atime);
            set_time(&mut stat.mtime, mtime);
            stat.ctime = now();
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Stat> {
        // Every change leaves the attributes whole: a panic in a closure of `update` spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An inode number for what is known by a name alone: the same each time, and never 0, which to many programs is an
/// entry that was removed.
pub fn ino_of_name(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish().max(1)
}

/// Whether a client with these credentials has these rights on a file with these attributes, as Linux
/// decides: owner's bits, else group's, else others'; root may all but execute what nobody may.
///
/// # Errors
/// `EACCES`.
pub fn check_access(stat: &Stat, client: Credentials, access: Access) -> Result<()> {
    if client.uid == 0 {
        let runnable = stat.is_dir() || stat.mode & 0o111 != 0;
        let allowed = !access.contains(Access::EXECUTE) || runnable;
        return if allowed { Ok(()) } else { Err(Errno::EACCES) };
    }
    let shift = if client.uid == stat.uid {
        6
    } else if client.gid == stat.gid {
        3
    } else {
        0
    };
    if access.bits() & !(stat.mode >> shift & 0o7) == 0 {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// The time now, by the system's clock.
fn now() -> TimeSpec {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    TimeSpec {
        seconds: since.as_secs().cast_signed(),
        nanoseconds: since.subsec_nanos(),
    }
}

fn owner_or_root(stat: &Stat, client: Credentials) -> Result<()> {
    if client.uid == 0 || client.uid == stat.uid {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn set_time(time: &mut TimeSpec, to: TimeSet) {
    match to {
        TimeSet::Omit => {}
        TimeSet::Now => *time = now(),
        TimeSet::To(given) => *time = given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Credentials = Credentials { uid: 0, gid: 0 };
    const OWNER: Credentials = Credentials { uid: 10, gid: 20 };
    const GROUP: Credentials = Credentials { uid: 11, gid: 20 };
    const OTHER: Credentials = Credentials { uid: 12, gid: 22 };

    fn attr(mode: u32) -> Arc<Attr> {
        Attr::new(Stat {
            mode: 0o100_000 | mode,
            uid: 10,
            gid: 20,
            ..Stat::default()
        })
    }

    #[test]
    fn owner_group_and_others_have_their_own_bits() {
        let attr = attr(0o640);
        assert_eq!(
            attr.check_access(OWNER, Access::READ | Access::WRITE),
            Ok(())
        );
        assert_eq!(attr.check_access(GROUP, Access::READ), Ok(()));
        assert_eq!(attr.check_access(GROUP, Access::WRITE), Err(Errno::EACCES));
        assert_eq!(attr.check_access(OTHER, Access::READ), Err(Errno::EACCES));
    }

    #[test]
    fn the_owner_is_not_helped_by_the_bits_of_others() {
        assert_eq!(
            attr(0o077).check_access(OWNER, Access::READ),
            Err(Errno::EACCES)
        );
    }

    #[test]
    fn root_may_all_but_execute_what_nobody_may() {
        assert_eq!(
            attr(0).check_access(ROOT, Access::READ | Access::WRITE),
            Ok(())
        );
        assert_eq!(
            attr(0o666).check_access(ROOT, Access::EXECUTE),
            Err(Errno::EACCES)
        );
        assert_eq!(attr(0o001).check_access(ROOT, Access::EXECUTE), Ok(()));
    }

    #[test]
    fn only_the_owner_and_root_change_the_mode() {
        let attr = attr(0o644);
        assert_eq!(attr.chmod(OTHER, 0o777), Err(Errno::EPERM));
        assert_eq!(attr.chmod(OWNER, 0o100_600), Ok(()));
        assert_eq!(attr.stat().mode, 0o100_600);
        assert_eq!(attr.chmod(Credentials { gid: 9, ..OWNER }, 0o2755), Ok(()));
        assert_eq!(
            attr.stat().mode & 0o7777,
            0o755,
            "set-group-id of a group not one's own is lost"
        );
    }

    #[test]
    fn only_root_gives_a_file_away() {
        let attr = attr(0o6755);
        assert_eq!(attr.chown(OWNER, Some(12), None), Err(Errno::EPERM));
        assert_eq!(attr.chown(OWNER, Some(10), Some(20)), Ok(()));
        assert_eq!(
            attr.stat().mode & 0o6000,
            0,
            "set-id bits do not survive a change of owner"
        );
        assert_eq!(attr.chown(ROOT, Some(12), Some(22)), Ok(()));
        assert_eq!((attr.stat().uid, attr.stat().gid), (12, 22));
    }

    #[test]
    fn times_are_set_by_the_owner_and_to_now_by_writers() {
        let attr = attr(0o622);
        let then = TimeSet::To(TimeSpec {
            seconds: 5,
            nanoseconds: 6,
        });
        assert_eq!(attr.utime(OTHER, then, TimeSet::Omit), Err(Errno::EPERM));
        assert_eq!(attr.utime(OTHER, TimeSet::Now, TimeSet::Now), Ok(()));
        assert_eq!(attr.utime(OWNER, then, TimeSet::Omit), Ok(()));
        assert_eq!(
            attr.stat().atime,
            TimeSpec {
                seconds: 5,
                nanoseconds: 6
            }
        );
        assert_ne!(attr.stat().mtime, TimeSpec::default());
    }
}
