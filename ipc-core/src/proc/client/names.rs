//! Named servers: a channel found by a name, without a connect message (PTH-6).

use crate::{
    Channel, Connection,
    abi::{
        Errno, Result,
        proc::{NAME_GLOBAL, NAME_LOCAL, PrefixFlags},
    },
    proc::{
        Pathname, Registration, attach_prefix,
        client::{arrive::find_name, pool},
    },
};

/// Whom a name is meant for. Both are found from other nodes, under `/net/NODE/dev/name/...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum NameScope {
    /// The processes of this node: `/dev/name/local`.
    #[default]
    Local,
    /// Everyone: `/dev/name/global`.
    Global,
}

impl NameScope {
    fn directory(self) -> &'static str {
        match self {
            NameScope::Local => NAME_LOCAL,
            NameScope::Global => NAME_GLOBAL,
        }
    }
}

/// Gives `channel` a name, for as long as the registration lives. Other threads of this process find it
/// as well: opening a name asks nothing of the server, so it cannot wait for itself.
///
/// # Errors
/// `EEXIST` the name is taken, `EINVAL` it is empty, starts with a slash or holds `.` or `..`, `ESRCH` no
/// process manager.
pub fn name_attach(name: &str, channel: &Channel, scope: NameScope) -> Result<Registration> {
    attach_prefix(
        name_path(name, scope)?.as_path(),
        channel,
        PrefixFlags::NAME | PrefixFlags::SELF,
    )
}

/// Attaches to the channel of this name: a plain one of this node, or the whole path of one, such as
/// `/net/wintermute/dev/name/local/printer`. To the server nothing is sent.
///
/// # Errors
/// `ENOENT` no such name, `EINVAL` a bad name, `ESRCH` no process manager or a server that is going, and
/// those of [`Connection::attach`].
pub fn name_open(name: &str, scope: NameScope) -> Result<Connection> {
    let path = if name.starts_with('/') {
        Pathname::of(name)?
    } else {
        name_path(name, scope)?
    };
    pool::attach(find_name(path)?)
}

fn name_path(name: &str, scope: NameScope) -> Result<Pathname> {
    let is_bad = |component: &str| matches!(component, "" | "." | "..");
    if name.split('/').any(is_bad) {
        return Err(Errno::EINVAL);
    }
    Pathname::of(format!("{}/{name}", scope.directory()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::limits::NAME_LEN_MAX;

    // covers: PTH-6
    #[test]
    fn a_name_is_a_path_below_its_directory() {
        let shown = |name, scope| name_path(name, scope).unwrap().to_string();
        assert_eq!(
            shown("printer", NameScope::Local),
            "/dev/name/local/printer"
        );
        assert_eq!(
            shown("office/printer", NameScope::Global),
            "/dev/name/global/office/printer"
        );
    }

    // covers: PTH-6
    #[test]
    fn bad_names_are_invalid() {
        for name in ["", "/x", "x/", "a//b", "..", "a/../b", "./a", "a\0b"] {
            assert_eq!(
                name_path(name, NameScope::Local),
                Err(Errno::EINVAL),
                "{name:?}"
            );
        }
        let long = "x".repeat(NAME_LEN_MAX + 1);
        assert_eq!(name_path(&long, NameScope::Local), Err(Errno::ENAMETOOLONG));
    }
}
