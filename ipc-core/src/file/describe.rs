//! An error as a person needs it: what failed, the likely cause, the command that mends it.

use std::path::Path;

use crate::{
    Connection,
    abi::{Chid, Errno, Nd, Pid, limits::PATH_LEN_MAX},
    file::paths::server_of,
    proc::resolve_node,
    runtime_dir,
};

mod rights;

pub use rights::describe_refused_prefix;

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

/// The runtime directory of root's node: on most machines the only one.
const MACHINES_NODE: &str = "/run/qnet";

/// Whether a process manager answers on this node, and if not, what a person does about it.
pub fn describe_missing_procmgr() -> Option<String> {
    let socket = runtime_dir().join("1.sock");
    let machines = Path::new(MACHINES_NODE);
    let other = (runtime_dir() != machines && machines.join("1.sock").exists()).then_some(machines);
    match Connection::attach(Nd::LOCAL, Pid::PROCMGR, Chid::PROCMGR) {
        Ok(_) => None,
        Err(Errno::EPERM | Errno::EACCES) => Some(format!(
            "who answers in {} is not the owner of the node; see: ls -ld {}",
            socket.display(),
            runtime_dir().display()
        )),
        Err(_) => Some(missing(&socket, other)),
    }
}

/// That nothing answers, and what to do: to join the node that the machine has, if it has one, comes first.
fn missing(socket: &Path, other: Option<&Path>) -> String {
    let socket = socket.display();
    match other {
        None => format!("no procmgr: nothing answers in {socket}; start it with: procmgr"),
        Some(other) => format!(
            "no procmgr: nothing answers in {socket}, but this machine has a node in {other}: \
             export QNET_RUNTIME_DIR={other}; or, for a node of your own, start it with: procmgr",
            other = other.display()
        ),
    }
}

fn cause(errno: Errno, path: &Path) -> Option<String> {
    match errno {
        Errno::ESRCH => describe_missing_procmgr().or_else(|| gone(path)),
        Errno::ENOENT => absent(path),
        Errno::EHOSTDOWN | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::ENETUNREACH => {
            missing_qnet(path).or_else(|| {
                let text = "the node is down or cannot be reached; see the state of each: qn net";
                Some(text.to_owned())
            })
        }
        Errno::EADDRINUSE if path.starts_with("/net") => Some(
            "another node has this node's name, and is who is known there; start one of them under another: \
             qnet --name NAME"
                .to_owned(),
        ),
        Errno::ETIMEDOUT => Some(late(path)),
        Errno::EEXIST if !path.is_absolute() => {
            Some("another server has this name; see: qn names".to_owned())
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
        Errno::EPERM | Errno::EACCES => rights::refused(path),
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

/// Who of those between a client and its file is gone.
fn gone(path: &Path) -> Option<String> {
    if let Some(node) = node_of(path) {
        let node = without_policy(&node);
        return missing_qnet(path).or_else(|| {
            Some(format!(
                "a server on {node} is gone or does not answer, or {node} itself stopped or started anew; see: qn net, \
                 and if {node} is there, which servers it has: qn names --node {node}"
            ))
        });
    }
    if !path.is_absolute() {
        let text = "the server of this name is gone or does not answer; see: qn names";
        return Some(text.to_owned());
    }
    Some(match server_of(path) {
        Ok(server) => format!(
            "its server, {}, is gone or does not answer; see: qn names",
            shown_server(server)
        ),
        Err(_) => "its server is gone; see which there are: qn names".to_owned(),
    })
}

/// Who does not know a path, if it is not its server.
fn absent(path: &Path) -> Option<String> {
    if !path.is_absolute() {
        let is_known = ["local", "global"]
            .iter()
            .any(|scope| server_of(Path::new("/dev/name").join(scope).join(path)).is_ok());
        return (!is_known).then(|| "nobody has registered this name; see: qn names".to_owned());
    }
    if let Some(missing) = missing_qnet(path) {
        return Some(missing);
    }
    match node_of(path) {
        Some(node) if resolve_node(&node) == Err(Errno::ENOENT) => Some(format!(
            "no node {node} answers; see which there are: qn net"
        )),
        _ => server_of(path)
            .is_err()
            .then(|| "nobody has registered this path; see: qn names".to_owned()),
    }
}

/// What a person does about a path below `/net` on a node without a qnet.
fn missing_qnet(path: &Path) -> Option<String> {
    if !path.starts_with("/net") || qnet_answers() {
        return None;
    }
    let what = node_of(path).map_or_else(
        || "other nodes cannot be reached".to_owned(),
        |node| format!("{} cannot be reached", without_policy(&node)),
    );
    Some(format!(
        "no qnet serves /net, so {what}; start it with: qnet --interface IF"
    ))
}

/// Whether the server that has registered `/net` lives.
fn qnet_answers() -> bool {
    server_of("/net").is_ok_and(|(nd, pid, chid)| Connection::attach(nd, pid, chid).is_ok())
}

/// That nobody answered in the time that the caller gave.
fn late(path: &Path) -> String {
    let what = match path.starts_with("/net") {
        true => {
            "the node or its server is slow, stopped or down; see: qn net, and on that node qn blocked"
        }
        false => "its server is slow or stopped; see who waits for whom: qn blocked",
    };
    format!("no answer in time: {what}")
}

/// The node that a path below `/net` names; what begins with a dot is qnet's own.
fn node_of(path: &Path) -> Option<String> {
    let below = path.strip_prefix("/net").ok()?;
    let name = below.components().next()?.as_os_str().to_string_lossy();
    (!name.starts_with('.')).then(|| name.into_owned())
}

/// A node's name without how its links are to be used.
fn without_policy(node: &str) -> &str {
    node.split_once('~').map_or(node, |(name, _)| name)
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
    fn who_gave_up_waiting_is_not_told_that_a_node_is_down() {
        let text = describe(Errno::ETIMEDOUT, "/home/x");
        assert!(
            text.contains("qn blocked") && !text.contains("node"),
            "{text}"
        );
        let text = describe(Errno::ETIMEDOUT, "/net/wintermute/home/x");
        assert!(
            text.contains("no answer in time") && text.contains("qn net"),
            "{text}"
        );
    }

    #[test]
    fn a_node_of_the_machine_is_named_to_who_has_none() {
        let socket = Path::new("/tmp/qnet-7/1.sock");
        let text = missing(socket, Some(Path::new(MACHINES_NODE)));
        assert!(
            text.contains("export QNET_RUNTIME_DIR=/run/qnet;"),
            "{text}"
        );
        assert!(text.contains("/tmp/qnet-7/1.sock"), "{text}");
        assert!(!missing(socket, None).contains("export"));
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
