//! What belongs to which process: registrations come with a client, and go when it dies.
//!
//! Invariant: a prefix is in the pathname space if and only if a living client owns its registration.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};

use crate::{
    abi::{
        Chid, Credentials, Errno, Nd, Pid, Result, Scoid,
        io::{REDIRECT_SERVERS_MAX, Redirect, RedirectServer},
        limits::{REGISTRATIONS_MAX, REGISTRATIONS_PER_PROCESS_MAX, REGISTRATIONS_PER_USER_MAX},
        proc::{NameEntry, PrefixFlags, Register, RegistrationId},
    },
    proc::{
        Pathname,
        rules::{self, Rules},
        space::{Match, Server, Space},
    },
};

/// Who sent a message, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Names the client process to the process manager.
    pub scoid: Scoid,
    /// Its node.
    pub nd: Nd,
    /// Its process.
    pub pid: Pid,
    /// Whom it counts as.
    pub credentials: Credentials,
}

/// What the process manager wants back in a connect that means a directory of its own, rather than a path
/// to resolve.
pub const DIRECTORY_HANDLE: u64 = 1;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The servers, in the order in which the client tries them.
    pub matches: Vec<Match>,
    /// Whether the process manager itself lists this path, after all of them.
    pub is_directory: bool,
}

impl Resolution {
    /// What the process manager answers: the servers, and itself behind them where it has a directory.
    ///
    /// # Errors
    /// `ENOENT` neither is there.
    pub fn into_redirect(self, path: &Pathname) -> Result<Redirect> {
        let server = |found: &Match| RedirectServer {
            nd: Nd::LOCAL,
            pid: found.server.pid,
            chid: found.server.chid,
            handle: found.server.handle,
            flags: found.server.flags.bits(),
            prefix_len: found.prefix_len,
            node_name: None,
        };
        let own = RedirectServer {
            nd: Nd::LOCAL,
            pid: Pid::PROCMGR,
            chid: Chid::PROCMGR,
            handle: DIRECTORY_HANDLE,
            flags: PrefixFlags::DIR.bits(),
            prefix_len: 0,
            node_name: None,
        };
        let room = REDIRECT_SERVERS_MAX - usize::from(self.is_directory);
        let mut servers: Vec<_> = self.matches.iter().take(room).map(server).collect();
        if self.is_directory {
            servers.push(own);
        }
        if servers.is_empty() {
            Err(Errno::ENOENT)
        } else {
            Ok(Redirect {
                servers,
                path: path.to_bytes(),
            })
        }
    }
}

/// A registration that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Which it was.
    pub id: RegistrationId,
    /// What was registered.
    pub prefix: Pathname,
}

/// The pathname space and who owns what in it.
#[derive(Clone, Debug)]
pub struct Registry {
    rules: Rules,
    space: Space,
    owners: HashMap<Scoid, Owned>,
    /// Registrations of each user that has any.
    users: HashMap<u32, usize>,
    /// Registrations of all owners together.
    count: usize,
    last_id: u64,
}

/// What a client process has registered.
#[derive(Clone, Debug)]
struct Owned {
    uid: u32,
    prefixes: BTreeMap<RegistrationId, Pathname>,
}

impl Registry {
    /// An empty registry.
    pub fn new(rules: Rules) -> Registry {
        Registry {
            rules,
            space: Space::default(),
            owners: HashMap::new(),
            users: HashMap::new(),
            count: 0,
            last_id: 0,
        }
    }

    /// Puts a prefix or a name of the asker into the pathname space.
    ///
    /// # Errors
    /// Those of [`Pathname::parse`] and [`Space::insert`]; `EPERM` the asker may not, or is of another node;
    /// `EINVAL` a NAME elsewhere than among the names; `EEXIST` the name is taken; `EAGAIN` the process
    /// has as many registrations as one may have; `EDQUOT` its user has; `ENOSPC` the node has.
    pub fn register(&mut self, asker: &Asker, register: &Register<'_>) -> Result<RegistrationId> {
        let prefix = Pathname::parse(register.path)?;
        self.check_right(asker, &prefix, register.flags)?;
        self.check_room(asker)?;
        let id = RegistrationId(self.last_id + 1);
        let server = Server {
            id,
            pid: asker.pid,
            chid: register.chid,
            handle: register.handle,
            flags: register.flags,
            uid: asker.credentials.uid,
        };
        self.space.insert(&prefix, server)?;
        let uid = asker.credentials.uid;
        let own = self.owners.entry(asker.scoid).or_insert_with(|| Owned {
            uid,
            prefixes: BTreeMap::new(),
        });
        own.prefixes.insert(id, prefix);
        *self.users.entry(own.uid).or_default() += 1;
        self.last_id = id.0;
        self.count += 1;
        Ok(id)
    }

    /// Takes a registration of the asker out of the pathname space; answers the prefix.
    ///
    /// # Errors
    /// `ENOENT` the asker has none of this id.
    pub fn unregister(&mut self, asker: &Asker, id: RegistrationId) -> Result<Pathname> {
        let own = self.owners.get_mut(&asker.scoid).ok_or(Errno::ENOENT)?;
        let prefix = own.prefixes.remove(&id).ok_or(Errno::ENOENT)?;
        let uid = own.uid;
        if own.prefixes.is_empty() {
            self.owners.remove(&asker.scoid);
        }
        self.drop_from_space(&prefix, id, uid);
        Ok(prefix)
    }

    /// Takes everything away that belonged to a client process (PTH-5, DTH-1).
    pub fn forget(&mut self, scoid: Scoid) -> Vec<Removed> {
        let Some(own) = self.owners.remove(&scoid) else {
            return Vec::new();
        };
        for (id, prefix) in &own.prefixes {
            self.drop_from_space(prefix, *id, own.uid);
        }
        own.prefixes
            .into_iter()
            .map(|(id, prefix)| Removed { id, prefix })
            .collect()
    }

    /// Where a path leads, for this asker (PTH-1, PTH-2).
    pub fn resolve(&self, asker: &Asker, path: &Pathname) -> Resolution {
        let own_pid = asker.nd.is_local().then_some(asker.pid);
        let matches = self.space.resolve(path, own_pid);
        let is_opaque = matches
            .iter()
            .any(|found| found.server.flags.contains(PrefixFlags::OPAQUE));
        Resolution {
            matches,
            is_directory: !is_opaque && self.space.has_directory(path),
        }
    }

    /// The pathname space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Who may register what.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Everything that is registered, in byte order of the paths.
    pub fn names(&self) -> Vec<NameEntry> {
        let entry = |path: &[u8], server: &Server| NameEntry {
            id: server.id,
            path: path.to_vec(),
            pid: server.pid,
            chid: server.chid,
            handle: server.handle,
            flags: server.flags,
            uid: server.uid,
        };
        self.space
            .iter()
            .flat_map(|(path, servers)| servers.iter().map(move |server| entry(path, server)))
            .collect()
    }

    fn check_right(&self, asker: &Asker, prefix: &Pathname, flags: PrefixFlags) -> Result<()> {
        if !asker.nd.is_local() || !self.rules.may_register(asker.credentials, prefix) {
            return Err(Errno::EPERM);
        }
        if flags.contains(PrefixFlags::NAME) && !rules::is_name(prefix) {
            return Err(Errno::EINVAL);
        }
        if rules::is_name(prefix) {
            if !self.space.at(prefix).is_empty() {
                return Err(Errno::EEXIST);
            }
            if self.is_below_another_user(asker, prefix) {
                return Err(Errno::EPERM);
            }
        }
        Ok(())
    }

    /// Whether there is room for one more of the asker's. Root and the owner of the node, whose processes serve everybody,
    /// have no limit as users.
    fn check_room(&self, asker: &Asker) -> Result<()> {
        let own = self.owners.get(&asker.scoid);
        if own.is_some_and(|own| own.prefixes.len() >= REGISTRATIONS_PER_PROCESS_MAX) {
            return Err(Errno::EAGAIN);
        }
        let of_user = self.users.get(&asker.credentials.uid);
        if of_user.is_some_and(|count| *count >= REGISTRATIONS_PER_USER_MAX)
            && !self.rules.is_privileged(asker.credentials)
        {
            return Err(Errno::EDQUOT);
        }
        if self.count >= REGISTRATIONS_MAX {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    /// Whether a name would take a part of what another user serves with DIR.
    fn is_below_another_user(&self, asker: &Asker, prefix: &Pathname) -> bool {
        let others = |server: &Server| {
            server.flags.contains(PrefixFlags::DIR) && server.uid != asker.credentials.uid
        };
        let mut above = std::iter::successors(Some(prefix.parent()), |path| Some(path.parent()));
        !self.rules.is_privileged(asker.credentials)
            && above
                .by_ref()
                .take_while(rules::is_name)
                .any(|path| self.space.at(&path).iter().any(others))
    }

    fn drop_from_space(&mut self, prefix: &Pathname, id: RegistrationId, uid: u32) {
        let was_there = self.space.remove(prefix, id);
        assert!(
            was_there,
            "an owned registration is in the pathname space: {prefix:?} {id:?}"
        );
        self.count -= 1;
        let of_user = self.users.get_mut(&uid);
        let of_user = of_user.expect("who has a registration is counted as its user");
        *of_user -= 1;
        if *of_user == 0 {
            self.users.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests;
