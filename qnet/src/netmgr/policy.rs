//! Policies of links in paths (`wintermute~preferred:en0`), and node descriptors that carry one.
//!
//! A descriptor with a policy names the same node as the plain one and another way to it. Upwards of the
//! node's number stand what kind of policy it is and the link: so a client needs nothing but the descriptor.

use std::sync::{Mutex, PoisonError};

use ipc_core::abi::{Errno, Nd, Result};
use qnet_proto::{Allowance, LinkId, LinkPolicy, PeerId, limits};

use crate::{
    driver::now,
    limits::{MISTAKES_BURST, MISTAKES_INTERVAL_NS},
};

/// Bits of the link's number.
const LINK_BITS: u32 = 4;

const PREFERRED: u32 = 1;
const EXCLUSIVE: u32 = 2;

const _: () = assert!(limits::PEERS_MAX < 1 << Nd::NODE_BITS);
const _: () = assert!(limits::LINKS_MAX <= 1 << LINK_BITS);

/// Reads what stands behind the tilde: `loadbalance`, `preferred:IF` or `exclusive:IF`, where `interfaces` are
/// the names of this node's links.
///
/// # Errors
/// `ENODEV` no link of that name, `EINVAL` no such policy.
pub(crate) fn parse(text: &[u8], interfaces: &[String]) -> Result<LinkPolicy> {
    let link = |name: &[u8]| {
        let at = interfaces.iter().position(|known| known.as_bytes() == name);
        at.map(|at| LinkId(at as u8)).ok_or_else(|| {
            if may_tell() {
                tracing::warn!(
                    "a path asks for the link {:?}, which this qnet does not have: it was started with {}",
                    String::from_utf8_lossy(name),
                    interfaces.join(", ")
                );
            }
            Errno::ENODEV
        })
    };
    if text == b"loadbalance" {
        return Ok(LinkPolicy::LoadBalance);
    }
    if let Some(name) = text.strip_prefix(b"preferred:") {
        return link(name).map(LinkPolicy::Preferred);
    }
    if let Some(name) = text.strip_prefix(b"exclusive:") {
        return link(name).map(LinkPolicy::Exclusive);
    }
    Err(Errno::EINVAL)
}

/// Whether a mistake may go into the log: any local user can make as many as it likes.
fn may_tell() -> bool {
    static MISTAKES: Mutex<Allowance> =
        Mutex::new(Allowance::new(MISTAKES_BURST, MISTAKES_INTERVAL_NS));
    let mut mistakes = MISTAKES.lock().unwrap_or_else(PoisonError::into_inner);
    mistakes.take(now())
}

/// The descriptor of a node, reached by a policy. This node itself needs none.
pub(crate) fn descriptor(node: Nd, policy: LinkPolicy) -> Nd {
    let (kind, link) = match policy {
        LinkPolicy::LoadBalance => return node,
        LinkPolicy::Preferred(link) => (PREFERRED, link),
        LinkPolicy::Exclusive(link) => (EXCLUSIVE, link),
    };
    if node.is_local() {
        return node;
    }
    Nd((kind << LINK_BITS | u32::from(link.0)) << Nd::NODE_BITS | node.0)
}

/// The node that a descriptor names, and the policy it carries.
///
/// # Errors
/// `EHOSTUNREACH` no descriptor of this node.
pub(crate) fn take_apart(nd: Nd) -> Result<(PeerId, LinkPolicy)> {
    let peer = PeerId(nd.without_policy().0);
    let link = LinkId((nd.0 >> Nd::NODE_BITS & ((1 << LINK_BITS) - 1)) as u8);
    let policy = match nd.0 >> (Nd::NODE_BITS + LINK_BITS) {
        0 if link == LinkId(0) => LinkPolicy::LoadBalance,
        PREFERRED => LinkPolicy::Preferred(link),
        EXCLUSIVE => LinkPolicy::Exclusive(link),
        _ => return Err(Errno::EHOSTUNREACH),
    };
    Ok((peer, policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> Vec<String> {
        vec!["en0".to_owned(), "en1".to_owned()]
    }

    // covers: NET-8
    #[test]
    fn policies_are_read_and_unknown_links_and_policies_refused() {
        let parse = |text: &str| parse(text.as_bytes(), &interfaces());
        assert_eq!(parse("loadbalance"), Ok(LinkPolicy::LoadBalance));
        assert_eq!(parse("preferred:en1"), Ok(LinkPolicy::Preferred(LinkId(1))));
        assert_eq!(parse("exclusive:en0"), Ok(LinkPolicy::Exclusive(LinkId(0))));
        for absent in ["preferred:en7", "exclusive:", "exclusive:en"] {
            assert_eq!(parse(absent), Err(Errno::ENODEV), "{absent}");
        }
        for bad in ["", "preferred", "en0", "loadbalance:en0", "Preferred:en0"] {
            assert_eq!(parse(bad), Err(Errno::EINVAL), "{bad}");
        }
    }

    // covers: NET-1, NET-8
    #[test]
    fn a_descriptor_carries_its_policy_to_the_thread_that_obeys_it() {
        let nodes = [1, 7, limits::PEERS_MAX as u32];
        let links = (0..limits::LINKS_MAX as u8).map(LinkId);
        let bound =
            links.flat_map(|link| [LinkPolicy::Preferred(link), LinkPolicy::Exclusive(link)]);
        let policies: Vec<_> = bound.chain([LinkPolicy::LoadBalance]).collect();
        let mut seen = std::collections::HashSet::new();
        for node in nodes {
            for &policy in &policies {
                let nd = descriptor(Nd(node), policy);
                assert_eq!(take_apart(nd), Ok((PeerId(node), policy)));
                assert!(nd.0 <= i32::MAX as u32 && seen.insert(nd.0));
            }
        }
        assert_eq!(descriptor(Nd(7), LinkPolicy::LoadBalance), Nd(7));
        assert_eq!(descriptor(Nd::LOCAL, policies[0]), Nd::LOCAL);
        assert_eq!(take_apart(Nd(0x7fff_ffff)), Err(Errno::EHOSTUNREACH));
    }
}
