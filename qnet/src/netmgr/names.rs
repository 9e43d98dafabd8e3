//! What a path below `/net` says: a node, how to get there, and what for.

use ipc_core::abi::{
    Chid, Errno, Nd, Pid, Result,
    io::{Redirect, RedirectServer},
    proc::PrefixFlags,
};
use qnet_proto::NodeName;

use crate::netmgr::policy;

/// A path below `/net`, taken apart. Holding one proves that the name can name a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetPath<'a> {
    /// The node.
    pub(super) node: NodeName,
    /// What follows the tilde behind its name, which chooses among links.
    policy: Option<&'a [u8]>,
    /// The path on that node, with its leading slash; empty where nothing follows the name.
    pub(super) rest: &'a [u8],
}

impl<'a> NetPath<'a> {
    /// Takes apart `wintermute/home/rk`, a path without leading slash.
    ///
    /// # Errors
    /// `ENOENT` for what cannot name a node.
    pub(super) fn parse(path: &'a [u8]) -> Result<NetPath<'a>> {
        let end = path
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(path.len());
        let (first, rest) = path.split_at(end);
        let (name, policy) = match first.iter().position(|byte| *byte == b'~') {
            Some(tilde) => (&first[..tilde], Some(&first[tilde + 1..])),
            None => (first, None),
        };
        let node = NodeName::from_bytes(name).ok_or(Errno::ENOENT)?;
        Ok(NetPath { node, policy, rest })
    }

    /// The descriptor for this path of a node with the descriptor `nd`, where `interfaces` are this node's
    /// links.
    ///
    /// # Errors
    /// `ENODEV` the policy names a link that this node does not have, `EINVAL` there is no such policy.
    pub(super) fn descriptor(&self, nd: Nd, interfaces: &[String]) -> Result<Nd> {
        match self.policy {
            Some(text) => Ok(policy::descriptor(nd, policy::parse(text, interfaces)?)),
            None => Ok(nd),
        }
    }

    /// Sends a client on to the process manager of the node, for the rest of the path.
    pub(super) fn redirect(&self, nd: Nd) -> Redirect {
        let path = match self.rest {
            b"" => b"/",
            rest => rest,
        };
        Redirect {
            servers: vec![RedirectServer {
                nd,
                pid: Pid::PROCMGR,
                chid: Chid::PROCMGR,
                handle: 0,
                flags: PrefixFlags::DIR.bits(),
                prefix_len: 0,
                node_name: (!nd.is_local()).then(|| self.node.to_string()),
            }],
            path: path.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: PTH-3
    #[test]
    fn a_path_is_a_node_and_the_path_there() {
        let path = NetPath::parse(b"wintermute/home/rk/filename").unwrap();
        assert_eq!(path.node.as_str(), "wintermute");
        let redirect = path.redirect(Nd(3));
        assert_eq!(redirect.path, b"/home/rk/filename");
        assert_eq!(redirect.servers[0].node_name.as_deref(), Some("wintermute"));
        assert_eq!(
            (
                redirect.servers[0].nd,
                redirect.servers[0].pid,
                redirect.servers[0].chid
            ),
            (Nd(3), Pid(1), Chid(1))
        );
        assert!(redirect.encode().is_ok());
    }

    #[test]
    fn a_node_alone_is_its_root() {
        for path in [&b"wintermute"[..], b"wintermute/"] {
            assert_eq!(NetPath::parse(path).unwrap().redirect(Nd(3)).path, b"/");
        }
    }

    #[test]
    fn the_own_node_is_no_other_node() {
        let redirect = NetPath::parse(b"magenta/x").unwrap().redirect(Nd::LOCAL);
        assert_eq!(redirect.servers[0].node_name, None);
        assert!(redirect.servers[0].nd.is_local());
    }

    #[test]
    fn names_that_name_no_node_are_enoent() {
        for path in [&b".stats"[..], b"-x/y", b"..", b"a b/c", b"/x", b"~x"] {
            assert_eq!(NetPath::parse(path), Err(Errno::ENOENT), "{path:?}");
        }
    }

    // covers: NET-8
    #[test]
    fn a_policy_behind_the_name_makes_another_descriptor_of_the_same_node() {
        let links = ["en0".to_owned()];
        let descriptor = |path: &'static [u8]| {
            let path = NetPath::parse(path).unwrap();
            assert_eq!(
                (path.node.as_str(), path.rest),
                ("wintermute", &b"/home"[..])
            );
            path.descriptor(Nd(3), &links)
        };
        assert_eq!(descriptor(b"wintermute/home"), Ok(Nd(3)));
        assert_eq!(descriptor(b"wintermute~loadbalance/home"), Ok(Nd(3)));
        assert_ne!(descriptor(b"wintermute~preferred:en0/home"), Ok(Nd(3)));
        assert_eq!(
            descriptor(b"wintermute~exclusive:en9/home"),
            Err(Errno::ENODEV)
        );
        assert_eq!(descriptor(b"wintermute~fastest/home"), Err(Errno::EINVAL));
    }
}
