//! With whose rights a thread touches files: those of the client it works for.
//!
//! As root, each thread takes the client's user and group as its *filesystem* user and group (`setfsuid`,
//! `setfsgid`: they belong to a thread, not to the process), and has no supplementary groups. The kernel
//! then checks every path and creates every file as if the client did it, and takes the capabilities that
//! pass over permissions from root's threads meanwhile. What a disk keeps in reserve for root, and a place
//! beyond a quota, no client gets.
//!
//! Without the privilege, only clients of the export's own user are served.

use std::cell::Cell;

use ipc_core::abi::{Credentials, Errno, Result};
use nix::unistd::{Gid, Uid, getegid, geteuid, setfsgid, setfsuid};

use super::sys;

/// How clients' rights are taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Each operation is done as the client.
    PerClient,
    /// Clients of this user are served with the export's own rights, all others are EACCES.
    OwnUserOnly(u32),
}

thread_local! {
    /// Whom the thread works as; `None` until it first worked for a client.
    static ASSUMED: Cell<Option<Credentials>> = const { Cell::new(None) };
}

impl Identity {
    /// What this process may do. Call it in a thread that will serve no client: it gives up its groups to
    /// find out.
    pub fn of_process() -> Identity {
        let uid = geteuid();
        let privileged = uid.is_root() && sys::drop_thread_groups().is_ok();
        if privileged {
            Identity::PerClient
        } else {
            Identity::OwnUserOnly(uid.as_raw())
        }
    }

    /// Makes the calling thread's next file operations those of the client.
    ///
    /// # Errors
    /// `EACCES` if the rights cannot be taken on: a client of another user without the privilege, or a user
    /// that is not mapped into this user namespace.
    pub fn assume(self, client: Credentials) -> Result<()> {
        match self {
            Identity::OwnUserOnly(own) if client.uid == own => Ok(()),
            Identity::OwnUserOnly(_) => Err(Errno::EACCES),
            Identity::PerClient if ASSUMED.get() == Some(client) => Ok(()),
            Identity::PerClient => become_client(client),
        }
    }
}

/// The order keeps every moment safe: a thread between two users is one or the other or, with a wrong group,
/// about to fail.
fn become_client(client: Credentials) -> Result<()> {
    if ASSUMED.take().is_none() {
        sys::drop_thread_groups().map_err(|error| Errno::of(&error))?;
        sys::drop_thread_reserves().map_err(|error| Errno::of(&error))?;
    }
    let (uid, gid) = (Uid::from_raw(client.uid), Gid::from_raw(client.gid));
    setfsgid(gid);
    setfsuid(uid);
    // These calls report no failure; asking for an impossible id answers the one in force.
    let nobody = u32::MAX;
    let in_force = (
        setfsuid(Uid::from_raw(nobody)),
        setfsgid(Gid::from_raw(nobody)),
    );
    if in_force != (uid, gid) {
        setfsuid(geteuid());
        setfsgid(getegid());
        return Err(Errno::EACCES);
    }
    ASSUMED.set(Some(client));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    const OTHER: Credentials = Credentials {
        uid: 4242,
        gid: 4343,
    };

    #[test]
    fn without_the_privilege_only_the_own_user_is_served() {
        let identity = Identity::OwnUserOnly(7);
        assert_eq!(identity.assume(Credentials { uid: 7, gid: 1 }), Ok(()));
        assert_eq!(
            identity.assume(Credentials { uid: 0, gid: 0 }),
            Err(Errno::EACCES)
        );
    }

    #[test]
    fn a_thread_works_with_the_clients_rights_and_no_other_thread_does() {
        let probe = std::thread::spawn(Identity::of_process);
        if probe.join().unwrap() != Identity::PerClient {
            eprintln!("skipped: needs root with the right to set groups");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "root's").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let made = folder.path().join("made");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                Identity::PerClient.assume(OTHER).unwrap();
                let refused = fs::read(&secret).unwrap_err();
                assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
                fs::write(&made, "client's").unwrap();
                Identity::PerClient.assume(Credentials::default()).unwrap();
                assert_eq!(fs::read(&secret).unwrap(), b"root's");
            });
        });
        let owner = fs::metadata(&made).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (OTHER.uid, OTHER.gid));
        assert_eq!(
            fs::read(&secret).unwrap(),
            b"root's",
            "this thread has kept its own rights"
        );
    }
}
