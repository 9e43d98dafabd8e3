//! What a path below `/net` says: a node, how to get there, and what for.

use ipc_core::abi::{
    Chid, Errno, Nd, Pid, Result,
    io::{Redirect, RedirectServer},
    proc::PrefixFlags,
};
use qnet_proto::NodeName;

/// A path below `/net`, taken apart. Holding one proves that the name can name a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetPath<'a> {
    /// The node.
    pub(super) node: NodeName,
    /// The path on that node, with its leading slash; empty where nothing follows the name.
    pub(super) rest: &'a [u8],
}

impl<'a> NetPath<'a> {
    /// Takes apart `wintermute/home/rk`, a path without leading slash.
    ///
    /// # Errors
    /// `ENOENT` for what cannot name a node; `EOPNOTSUPP` for a policy of links (`wintermute~preferred:en0`),
    /// which a qnet with one link does not have.
    pub(super) fn parse(path: &'a [u8]) -> Result<NetPath<'a>> {
        let end = path
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(path.len());
        let (first, rest) = path.split_at(end);
        if let Some(tilde) = first.iter().position(|byte| *byte == b'~') {
            let is_node = NodeName::from_bytes(&first[..tilde]).is_some();
            return Err(if is_node {
                Errno::EOPNOTSUPP
            } else {
                Errno::ENOENT
            });
        }
        let node = NodeName::from_bytes(first).ok_or(Errno::ENOENT)?;
        Ok(NetPath { node, rest })
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
    fn names_that_name_no_node_are_enoent_and_policies_are_refused() {
        for path in [&b".stats"[..], b"-x/y", b"..", b"a b/c", b"/x", b"~x"] {
            assert_eq!(NetPath::parse(path), Err(Errno::ENOENT), "{path:?}");
        }
        for path in [&b"wintermute~preferred:en0/home"[..], b"w~loadbalance"] {
            assert_eq!(NetPath::parse(path), Err(Errno::EOPNOTSUPP));
        }
    }
}
