//! Why a user may not, and who can change that.

use std::path::Path;

use nix::unistd::geteuid;

use super::{describe_missing_procmgr, node_of};
use crate::{
    abi::{
        Errno,
        limits::{REGISTRATIONS_MAX, REGISTRATIONS_PER_PROCESS_MAX, REGISTRATIONS_PER_USER_MAX},
    },
    file::paths::{lstat, server_of},
    runtime_dir,
};

/// Says why a prefix could not be registered, in one line that starts with it.
///
/// This asks around, as [`describe`](super::describe()) does.
pub fn describe_refused_prefix(errno: Errno, prefix: &str) -> String {
    let why = match errno {
        Errno::EINVAL => "a prefix is an absolute path, such as /home".to_owned(),
        Errno::EPERM | Errno::EACCES => owners_right(),
        Errno::EAGAIN => full("this process", REGISTRATIONS_PER_PROCESS_MAX),
        Errno::EDQUOT => full("this user", REGISTRATIONS_PER_USER_MAX),
        Errno::ENOSPC => full("the node", REGISTRATIONS_MAX),
        _ => describe_missing_procmgr()
            .unwrap_or_else(|| "see what is registered already: qn names".to_owned()),
    };
    format!("{prefix}: {errno}: {why}")
}

fn full(who: &str, most: usize) -> String {
    format!("{who} has {most} prefixes and names, and can have no more; see: qn names")
}

/// What stands behind EPERM and EACCES on a path.
pub(super) fn refused(path: &Path) -> Option<String> {
    if let Some(node) = node_of(path) {
        return Some(on_node(&node));
    }
    if path == Path::new("/net/.capture") {
        return Some("frames are for root and the user whose qnet it is".to_owned());
    }
    if !path.is_absolute() {
        let text = "another user has a part of this name; see whose: qn names";
        return Some(text.to_owned());
    }
    match server_of(path) {
        Ok(_) => of_file(path),
        Err(_) => Some(owners_right()),
    }
}

fn on_node(node: &str) -> String {
    let who = match geteuid().is_root() {
        true => "root of this node counts as nobody there",
        false => "this user may count as another there",
    };
    format!(
        "{who}, and that user may not; give it the right on {node}, or see --map of the qnet on {node}"
    )
}

/// Names are everybody's, other paths are not.
fn owners_right() -> String {
    format!(
        "only the owner of the node registers any prefix; see: ls -ld {}; others are allowed by: procmgr --config FILE; \
         everybody registers names, below /dev/name",
        runtime_dir().display()
    )
}

/// The file, or the nearest directory above that this user is told anything of, and whose it is.
fn of_file(path: &Path) -> Option<String> {
    let user = geteuid();
    let mut above = path.ancestors();
    let (known, stat) = above.find_map(|known| Some((known, lstat(known).ok()?)))?;
    if server_of(known) != server_of(path) {
        return Some(format!(
            "its server does not serve user {user}; see who it runs as: qn names"
        ));
    }
    Some(format!(
        "this is user {user}, and {} belongs to user {} and group {}, with mode {:04o}; they, or root, can change it",
        known.display(),
        stat.uid,
        stat.gid,
        stat.mode & 0o7777
    ))
}

#[cfg(test)]
mod tests {
    use super::super::describe;
    use super::*;

    #[test]
    fn a_user_who_counts_as_another_is_told_so_below_net_alone() {
        for errno in [Errno::EACCES, Errno::EPERM] {
            let text = describe(errno, "/net/wintermute/home/x");
            assert!(text.contains("--map of the qnet on wintermute"), "{text}");
            for path in ["/home/x", "/net/.capture", "/net"] {
                let text = describe(errno, path);
                assert!(!text.contains("--map"), "{text}");
            }
        }
    }

    #[test]
    fn who_may_not_register_is_told_who_may() {
        for text in [
            describe(Errno::EPERM, "/nobody/serves/this"),
            describe_refused_prefix(Errno::EPERM, "/home"),
        ] {
            assert!(text.contains("procmgr --config FILE"), "{text}");
        }
        assert!(describe(Errno::EPERM, "printer").contains("qn names"));
    }

    #[test]
    fn who_has_as_much_as_there_may_be_is_told_so() {
        for (errno, who) in [
            (Errno::EAGAIN, "this process has 4096 "),
            (Errno::EDQUOT, "this user has 8192 "),
            (Errno::ENOSPC, "the node has 65536 "),
        ] {
            let text = describe_refused_prefix(errno, "/home");
            assert!(text.contains(who) && text.contains("qn names"), "{text}");
        }
    }
}
