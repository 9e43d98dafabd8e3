//! An error as a person needs it: what failed, the likely cause, the command that mends it.

use std::path::Path;

use crate::{
    Connection,
    abi::{Chid, Errno, Nd, Pid, limits::PATH_LEN_MAX},
    file::paths::server_of,
    proc::resolve_node,
    runtime_dir,
};

/// Characters of a path that a line shows; of a longer one both ends.
const SHOWN_COUNT: usize = 300;

/// Says what an error on a path means, in one line that starts with the path.
///
/// This asks around: whether a process manager answers, who has registered the path. It is for the
/// moment in which a program gives up.
pub fn describe(errno: Errno, path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let shown = shown(path);
    match cause(errno, path) {
        Some(cause) => format!("{shown}: {errno}: {cause}"),
        None => format!("{shown}: {errno}"),
    }
}

/// Whether a process manager answers on this node, and if not, what a person does about it.
pub fn describe_missing_procmgr() -> Option<String> {
    let socket = runtime_dir().join("1.sock");
    match Connection::attach(Nd::LOCAL, Pid::PROCMGR, Chid::PROCMGR) {
        Ok(_) => None,
        Err(Errno::EPERM | Errno::EACCES) => Some(format!(
            "who answers in {} is not the owner of the node; see: ls -ld {}",
            socket.display(),
            runtime_dir().display()
        )),
        Err(_) => Some(format!(
            "no procmgr: nothing answers in {}; start it with: procmgr",
            socket.display()
        )),
    }
}

fn cause(errno: Errno, path: &Path) -> Option<String> {
    match errno {
        Errno::ESRCH => describe_missing_procmgr().or_else(|| {
            let server = server_of(path).ok()?;
            Some(format!(
                "its server, {}, is gone or does not answer; see: qn names",
                shown_server(server)
            ))
        }),
        Errno::ENOENT => match node_of(path) {
            Some(node) if server_of(path).is_err() => Some(format!(
                "no qnet serves /net, so {node} cannot be reached; start it with: qnet --interface IF"
            )),
            Some(node) if resolve_node(&node) == Err(Errno::ENOENT) => Some(format!(
                "no node {node} answers; see which there are: qn net"
            )),
            _ => server_of(path)
                .is_err()
                .then(|| "nobody has registered this path; see: qn names".to_owned()),
        },
        Errno::EHOSTDOWN
        | Errno::EHOSTUNREACH
        | Errno::ENETDOWN
        | Errno::ENETUNREACH
        | Errno::ETIMEDOUT => {
            Some("the node is down or cannot be reached; see the state of each: qn net".to_owned())
        }
        Errno::ELOOP => {
            Some("servers or symbolic links lead in a circle; see: qn names".to_owned())
        }
        Errno::ENAMETOOLONG => Some(format!(
            "a path has at most {PATH_LEN_MAX} bytes, and servers may allow less for each name"
        )),
        Errno::EXDEV => {
            Some("the two paths are on different servers; copy instead: qn cp FROM TO".to_owned())
        }
        Errno::ENOSYS => Some("the server does not do this".to_owned()),
        Errno::EPERM if path.starts_with("/net") => Some(
            "the user is mapped to one that may not; see --map of qnet on that node".to_owned(),
        ),
        Errno::ENODEV if policy_of(path).is_some() => {
            Some("this node has no such link; see which it has: qn net -l".to_owned())
        }
        Errno::EINVAL if policy_of(path).is_some_and(|policy| !is_policy(&policy)) => Some(
            "after ~ stands loadbalance, preferred:LINK or exclusive:LINK, as in \
             /net/NODE~preferred:eth1"
                .to_owned(),
        ),
        Errno::EINVAL if !path.is_absolute() => {
            Some("a path of the pathname space starts with /".to_owned())
        }
        _ => None,
    }
}

/// The node that a path below `/net` names.
fn node_of(path: &Path) -> Option<String> {
    let below = path.strip_prefix("/net").ok()?;
    Some(
        below
            .components()
            .next()?
            .as_os_str()
            .to_string_lossy()
            .into_owned(),
    )
}

/// What stands after the `~` of the node that a path names: how its links are to be used.
fn policy_of(path: &Path) -> Option<String> {
    let node = node_of(path)?;
    let (_, policy) = node.split_once('~')?;
    Some(policy.to_owned())
}

fn is_policy(policy: &str) -> bool {
    policy == "loadbalance"
        || ["preferred:", "exclusive:"]
            .iter()
            .any(|word| policy.starts_with(word))
}

/// The path as a line can hold it: of a very long one, both ends.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let count = text.chars().count();
    if count <= SHOWN_COUNT {
        return text;
    }
    let end = SHOWN_COUNT / 2;
    let head: String = text.chars().take(end).collect();
    let tail: String = text.chars().skip(count - end).collect();
    format!("{head}...{tail} ({} bytes)", path.as_os_str().len())
}

fn shown_server((nd, pid, chid): (Nd, Pid, Chid)) -> String {
    format!("{nd}/{pid}/{chid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_of_a_path_is_what_follows_net() {
        assert_eq!(
            node_of(Path::new("/net/wintermute/home")),
            Some("wintermute".to_owned())
        );
        assert_eq!(node_of(Path::new("/net")), None);
        assert_eq!(node_of(Path::new("/home/net")), None);
    }

    #[test]
    fn a_link_or_policy_that_is_none_is_explained() {
        let text = describe(Errno::ENODEV, "/net/wintermute~preferred:eth2/home");
        assert!(text.contains("no such link; see"), "{text}");
        let text = describe(Errno::EINVAL, "/net/wintermute~fastest/home");
        assert!(text.contains("preferred:LINK"), "{text}");
        for path in ["/net/wintermute~exclusive:eth0/x", "/net/wintermute/x"] {
            let text = describe(Errno::EINVAL, path);
            assert!(!text.contains("LINK"), "{text}");
        }
        let text = describe(Errno::ENODEV, "/home/rk/filename");
        assert!(!text.contains("link"), "{text}");
    }

    #[test]
    fn of_a_very_long_path_the_ends_are_shown() {
        let path = format!("/net/{}/filename", "x".repeat(9000));
        let text = describe(Errno::ENAMETOOLONG, &path);
        assert!(text.starts_with("/net/xxx") && text.len() < 600, "{text}");
        assert!(text.contains("xxx/filename (9014 bytes): "), "{text}");
        assert!(text.contains("at most 4096 bytes"), "{text}");
    }

    #[test]
    fn an_error_without_a_known_cause_is_told_plainly() {
        let text = describe(Errno::ENOSPC, "/net/wintermute/home/x");
        assert!(
            text.starts_with("/net/wintermute/home/x: ") && text.contains("ENOSPC"),
            "{text}"
        );
    }
}
