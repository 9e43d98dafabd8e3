//! The pathname space: which servers own a path, in the order in which a client tries them.
//!
//! ```text
//! /dev/ser1 -> "/dev/ser1" [BEFORE.. newest first .. AFTER]   longest prefix first,
//!              "/dev"      [...]                              until one is OPAQUE
//!              "/"         [...]
//! ```
//! Invariant: the servers of one prefix stand in the order in which they are listed.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    abi::{
        Chid, Errno, Pid, Result,
        limits::SERVERS_PER_PREFIX_MAX,
        proc::{NAME_GLOBAL, NAME_LOCAL, PrefixFlags, RegistrationId},
    },
    proc::Pathname,
};

/// A server of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Names the registration.
    pub id: RegistrationId,
    /// The server's process, of this node.
    pub pid: Pid,
    /// Its channel.
    pub chid: Chid,
    /// What it wants back in every connect.
    pub handle: u64,
    /// How it is matched and ordered.
    pub flags: PrefixFlags,
    /// The user it runs as.
    pub uid: u32,
}

/// A server that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Who it is.
    pub server: Server,
    /// Bytes of the path that the prefix covers; for the root its slash.
    pub prefix_len: usize,
}

/// All prefixes and their servers.
#[derive(Clone, Debug)]
pub struct Space {
    /// Keyed by the path without trailing slash, the root by nothing. Only the two directories of names
    /// are there without a server.
    prefixes: BTreeMap<Vec<u8>, Vec<Server>>,
}

impl Space {
    /// Puts a server in front of, among, or behind those that have the prefix already (PTH-2).
    ///
    /// Newer ones come first, except that each AFTER goes to the very end.
    ///
    /// # Errors
    /// `EINVAL` both BEFORE and AFTER, `ENOSPC` the prefix has as many servers as a reply lists.
    pub fn insert(&mut self, prefix: &Pathname, server: Server) -> Result<()> {
        if server
            .flags
            .contains(PrefixFlags::BEFORE | PrefixFlags::AFTER)
        {
            return Err(Errno::EINVAL);
        }
        let servers = self.at(prefix);
        if servers.len() >= SERVERS_PER_PREFIX_MAX {
            return Err(Errno::ENOSPC);
        }
        let place = if server.flags.contains(PrefixFlags::AFTER) {
            servers.len()
        } else {
            servers
                .iter()
                .position(|other| rank(other.flags) >= rank(server.flags))
                .unwrap_or(servers.len())
        };
        self.prefixes
            .entry(prefix.key().to_vec())
            .or_default()
            .insert(place, server);
        Ok(())
    }

    /// Takes a registration out; whether it was there.
    pub fn remove(&mut self, prefix: &Pathname, id: RegistrationId) -> bool {
        let Some(servers) = self.prefixes.get_mut(prefix.key()) else {
            return false;
        };
        let before = servers.len();
        servers.retain(|server| server.id != id);
        let removed = servers.len() != before;
        if servers.is_empty() && !is_kept(prefix.key()) {
            self.prefixes.remove(prefix.key());
        }
        removed
    }

    /// The servers that have exactly this prefix, in order.
    pub fn at(&self, prefix: &Pathname) -> &[Server] {
        self.prefixes.get(prefix.key()).map_or(&[], Vec::as_slice)
    }

    /// The servers that a path leads to, longest prefix first (PTH-1, PTH-2).
    ///
    /// `asker` is the process of this node that asks, if it is of this node: its own registrations are
    /// passed over as if they were not there, unless they say SELF.
    pub fn resolve(&self, path: &Pathname, asker: Option<Pid>) -> Vec<Match> {
        let mut matches = Vec::new();
        for prefix in ancestors(path.key()) {
            let exact = prefix.len() == path.key().len() && (!path.must_be_dir() || path.is_root());
            let mut is_opaque = false;
            for &server in self.prefixes.get(prefix).into_iter().flatten() {
                let own = Some(server.pid) == asker && !server.flags.contains(PrefixFlags::SELF);
                if own || !(exact || server.flags.contains(PrefixFlags::DIR)) {
                    continue;
                }
                is_opaque |= server.flags.contains(PrefixFlags::OPAQUE);
                let prefix_len = prefix.len().max(1);
                matches.push(Match { server, prefix_len });
            }
            if is_opaque {
                break;
            }
        }
        matches
    }

    /// Whether the process manager itself can list this path: the root, the two directories of names, and
    /// whatever some prefix lies below.
    pub fn has_directory(&self, path: &Pathname) -> bool {
        path.is_root() || is_kept(path.key()) || self.below(path).next().is_some()
    }

    /// The names that a directory of this path has because of longer prefixes, in byte order.
    pub fn children(&self, path: &Pathname) -> BTreeSet<&[u8]> {
        let skip = path.key().len() + 1;
        self.below(path)
            .filter_map(|(key, _)| key[skip..].split(|&byte| byte == b'/').next())
            .collect()
    }

    /// Every prefix that has servers, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[Server])> {
        let prefixes = self
            .prefixes
            .iter()
            .filter(|(_, servers)| !servers.is_empty());
        prefixes.map(|(key, servers)| {
            (
                if key.is_empty() { b"/" } else { key.as_slice() },
                servers.as_slice(),
            )
        })
    }

    /// The prefixes strictly below a path.
    fn below<'a>(
        &'a self,
        path: &Pathname,
    ) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<Server>)> {
        let start = [path.key(), b"/"].concat();
        self.prefixes
            .range(start.clone()..)
            .take_while(move |(key, _)| key.starts_with(&start))
    }
}

impl Default for Space {
    fn default() -> Space {
        let kept = [NAME_LOCAL, NAME_GLOBAL].map(|path| (path.as_bytes().to_vec(), Vec::new()));
        Space {
            prefixes: BTreeMap::from(kept),
        }
    }
}

/// Whether the key stays when its last server goes.
fn is_kept(key: &[u8]) -> bool {
    key == NAME_LOCAL.as_bytes() || key == NAME_GLOBAL.as_bytes()
}

/// The place of a class of servers among those of one prefix.
fn rank(flags: PrefixFlags) -> u8 {
    match () {
        () if flags.contains(PrefixFlags::BEFORE) => 0,
        () if flags.contains(PrefixFlags::AFTER) => 2,
        () => 1,
    }
}

/// The key and those of all directories above it, longest first.
fn ancestors(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let above = (0..key.len())
        .rev()
        .filter(|&end| key[end] == b'/')
        .map(|end| &key[..end]);
    std::iter::once(key).chain(above)
}

#[cfg(test)]
mod tests;
