//! Who may register a prefix (PTH-5).
//!
//! The owner of the node and root may register anything. Others may register names: strictly below
//! `/dev/name/local` and `/dev/name/global`; and what a rule of the configuration gives them.

#![forbid(unsafe_code)]

use crate::{
    abi::{
        Credentials,
        proc::{NAME_GLOBAL, NAME_LOCAL, NAME_ROOT},
    },
    proc::Pathname,
};

/// Lets a user or a group register at a prefix and below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub prefix: Pathname,
    /// Who.
    pub grantee: Grantee,
}

/// Whom a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// Everyone.
    All,
    /// One user, by number.
    User(u32),
    /// The processes whose effective group this is, by number.
    Group(u32),
}

/// The owner of the node, and what others are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    owner_uid: u32,
    rules: Vec<Rule>,
}

impl Rules {
    /// The rules of a node of this user.
    pub fn new(owner_uid: u32, rules: Vec<Rule>) -> Rules {
        Rules { owner_uid, rules }
    }

    /// Whether the user may do anything here.
    pub fn is_privileged(&self, who: Credentials) -> bool {
        who.uid == 0 || who.uid == self.owner_uid
    }

    /// Whether the user may register this prefix.
    pub fn may_register(&self, who: Credentials, prefix: &Pathname) -> bool {
        self.is_privileged(who)
            || is_name(prefix)
            || self.rules.iter().any(|rule| rule.gives(who, prefix))
    }
}

impl Rule {
    fn gives(&self, who: Credentials, prefix: &Pathname) -> bool {
        let is_grantee = match self.grantee {
            Grantee::All => true,
            Grantee::User(uid) => who.uid == uid,
            Grantee::Group(gid) => who.gid == gid,
        };
        is_grantee && prefix.starts_with(&self.prefix)
    }
}

/// Whether the prefix is that of a name: below one of the two directories of names.
pub fn is_name(prefix: &Pathname) -> bool {
    let below = |dir: &str| {
        prefix
            .key()
            .strip_prefix(dir.as_bytes())
            .is_some_and(|rest| rest.len() > 1 && rest[0] == b'/')
    };
    below(NAME_LOCAL) || below(NAME_GLOBAL)
}

/// Whether the prefix lies in the part of the pathname space that holds names only.
pub fn is_among_names(prefix: &Pathname) -> bool {
    prefix
        .key()
        .strip_prefix(NAME_ROOT.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const RK: Credentials = Credentials {
        uid: 1000,
        gid: 100,
    };

    fn path(text: &str) -> Pathname {
        Pathname::parse(text.as_bytes()).unwrap()
    }

    // covers: PTH-5
    #[test]
    fn the_owner_and_root_register_anything() {
        let rules = Rules::new(500, Vec::new());
        for uid in [0, 500] {
            assert!(rules.may_register(Credentials { uid, gid: 5 }, &path("/net")));
        }
    }

    // covers: PTH-5
    #[test]
    fn others_register_names_only() {
        let rules = Rules::new(500, Vec::new());
        assert!(rules.may_register(RK, &path("/dev/name/local/x")));
        assert!(rules.may_register(RK, &path("/dev/name/global/x/y")));
        for refused in [
            "/",
            "/net",
            "/dev/name",
            "/dev/name/local",
            "/dev/name/local/",
            "/dev/name/x",
            "/dev/names/local/x",
        ] {
            assert!(!rules.may_register(RK, &path(refused)), "{refused}");
        }
    }

    // covers: PTH-5
    #[test]
    fn a_rule_gives_a_subtree_to_a_user_or_a_group() {
        let rule = |prefix, grantee| Rule {
            prefix: path(prefix),
            grantee,
        };
        let rules = vec![
            rule("/home/rk", Grantee::User(1000)),
            rule("/srv", Grantee::Group(100)),
        ];
        let rules = Rules::new(500, rules);
        assert!(
            rules.may_register(RK, &path("/home/rk"))
                && rules.may_register(RK, &path("/home/rk/x"))
        );
        assert!(rules.may_register(RK, &path("/srv/x")));
        assert!(
            !rules.may_register(RK, &path("/home")) && !rules.may_register(RK, &path("/home/rkx"))
        );
        assert!(!rules.may_register(Credentials { uid: 1001, gid: 7 }, &path("/home/rk")));
        let all = Rules::new(500, vec![rule("/pub", Grantee::All)]);
        assert!(all.may_register(Credentials { uid: 1001, gid: 7 }, &path("/pub/x")));
    }
}
