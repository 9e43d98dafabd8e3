//! Whom the users of other nodes count as here (NET-7): decided by this node, never taken on trust.

use ipc_core::abi::Credentials;
use nix::unistd::{Uid, User};
use serde::Deserialize;

use crate::config::ConfigError;

/// The user and group that stand for no rights.
const NOBODY: Credentials = Credentials {
    uid: 65_534,
    gid: 65_534,
};

/// The rule by which remote users become local ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserMap {
    /// User 0 and group 0 become nobody, others keep their numbers.
    RootSquash,
    /// All keep their numbers, root too: for nodes that trust each other fully.
    Identity,
    /// All become this one user.
    Any(MappedUser),
    /// The first rule that fits; nobody when none does.
    Table(Vec<UserRule>),
}

/// A local user that remote ones may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedUser(pub Credentials);

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRule {
    /// The node the user comes from; every node when left out.
    pub node: Option<String>,
    /// The user's number there; every user when left out.
    pub remote: Option<u32>,
    /// The user's number here.
    pub local: u32,
    /// The group's number here; the local user's own group when left out.
    pub group: Option<u32>,
}

impl UserMap {
    /// Whom a user of the node `node` counts as here.
    pub fn map(&self, node: &str, remote: Credentials) -> Credentials {
        match self {
            UserMap::Identity => remote,
            UserMap::Any(MappedUser(local)) => *local,
            UserMap::RootSquash => squash(remote),
            UserMap::Table(rules) => rules
                .iter()
                .find(|rule| rule.fits(node, remote.uid))
                .map_or(NOBODY, UserRule::credentials),
        }
    }
}

impl UserRule {
    fn fits(&self, node: &str, uid: u32) -> bool {
        self.node.as_deref().is_none_or(|name| name == node)
            && self.remote.is_none_or(|remote| remote == uid)
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            uid: self.local,
            gid: self.group.unwrap_or_else(|| group_of(self.local)),
        }
    }
}

pub(super) fn load(rule: Option<&str>, table: Vec<UserRule>) -> Result<UserMap, ConfigError> {
    match rule.unwrap_or("root-squash") {
        "root-squash" => Ok(UserMap::RootSquash),
        "identity" => Ok(UserMap::Identity),
        "table" if table.is_empty() => Err(ConfigError::new(
            "--map table needs [[user]] entries in the configuration file (--config)",
        )),
        // Groups are looked up once, here: a name service may be slow.
        "table" => Ok(UserMap::Table(
            table.into_iter().map(resolve_group).collect(),
        )),
        rule => match rule.strip_prefix("any:").map(str::parse) {
            Some(Ok(uid)) => Ok(UserMap::Any(MappedUser(Credentials {
                uid,
                gid: group_of(uid),
            }))),
            _ => Err(ConfigError::new(format!(
                "{rule:?} is no rule for users of other nodes; choose root-squash, identity, any:UID \
                 (a number) or table"
            ))),
        },
    }
}

fn resolve_group(rule: UserRule) -> UserRule {
    UserRule {
        group: Some(rule.credentials().gid),
        ..rule
    }
}

fn squash(remote: Credentials) -> Credentials {
    if remote.uid == 0 {
        return NOBODY;
    }
    Credentials {
        gid: if remote.gid == 0 {
            NOBODY.gid
        } else {
            remote.gid
        },
        ..remote
    }
}

/// The group of a local user; its own number for one that is not listed, as is usual.
fn group_of(uid: u32) -> u32 {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.gid.as_raw(),
        _ => uid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32, gid: u32) -> Credentials {
        Credentials { uid, gid }
    }

    // covers: NET-7
    #[test]
    fn root_is_nobody_unless_the_node_says_otherwise() {
        let default = load(None, Vec::new()).unwrap();
        assert_eq!(default.map("w", user(0, 0)), NOBODY);
        assert_eq!(default.map("w", user(0, 5)), NOBODY);
        assert_eq!(default.map("w", user(7, 0)), user(7, 65_534));
        assert_eq!(default.map("w", user(7, 8)), user(7, 8));
        let identity = load(Some("identity"), Vec::new()).unwrap();
        assert_eq!(identity.map("w", user(0, 0)), user(0, 0));
        let any = load(Some("any:4000000"), Vec::new()).unwrap();
        assert_eq!(any.map("w", user(0, 0)), user(4_000_000, 4_000_000));
    }

    // covers: NET-7
    #[test]
    fn the_first_rule_of_the_table_that_fits_counts_and_strangers_are_nobody() {
        let rule = |node: Option<&str>, remote, local| UserRule {
            node: node.map(str::to_owned),
            remote,
            local,
            group: Some(local + 1),
        };
        let rules = vec![
            rule(Some("wintermute"), Some(0), 500),
            rule(Some("wintermute"), None, 600),
            rule(None, Some(7), 700),
        ];
        let table = load(Some("table"), rules).unwrap();
        assert_eq!(table.map("wintermute", user(0, 0)), user(500, 501));
        assert_eq!(table.map("wintermute", user(7, 7)), user(600, 601));
        assert_eq!(table.map("straylight", user(7, 7)), user(700, 701));
        assert_eq!(table.map("straylight", user(8, 8)), NOBODY);
        assert!(load(Some("table"), Vec::new()).is_err());
    }
}
