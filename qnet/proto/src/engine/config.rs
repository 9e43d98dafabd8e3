//! What an engine is told once, at its start.

use std::time::Duration;

use crate::limits::{LINKS_MAX, MTU_MAX, MTU_MIN};
use crate::{Errno, Mac, NodeName};

/// One Ethernet interface of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Its address, the source of every frame sent through it.
    pub mac: Mac,
    /// Bytes that a frame may carry behind its Ethernet header: 576..=65535.
    pub mtu: usize,
}

/// Everything an engine needs to know; see [`Config::new`] for the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node.
    pub name: NodeName,
    /// The interfaces, in order of preference; [`LinkId`](crate::LinkId) is the index.
    pub links: Vec<LinkConfig>,
    /// EtherType of the frames.
    pub ethertype: u16,
    /// Fresh random bytes: the boot epoch, session ids and cookies come from them. Two lives of a node
    /// must never get the same ones.
    pub entropy: [u8; 32],
    /// How long a peer may be silent while something is outstanding before it counts as dead.
    pub tolerance: Duration,
    /// How long a name is looked for before it is `ENOENT`.
    pub resolve_timeout: Duration,
    /// How long an acknowledgement waits for something to ride on.
    pub ack_delay: Duration,
    /// Least time before what is not acknowledged is sent again.
    pub probe_timeout_min: Duration,
    /// Time between probes of a peer to which there are connections but no outstanding calls.
    pub keepalive_idle: Duration,
    /// Bytes of frames that the receive side can take in one go: what its socket buffers.
    pub receive_window_len: u32,
    /// Whether every frame is sealed with a checksum, and frames without one are refused. Ethernet has
    /// a checksum of its own; for networks where that is not trusted. The same on all nodes.
    pub seals: bool,
}

impl Config {
    /// The defaults: EtherType 0x88B5, tolerance 1.5 s, names within 1 s.
    pub fn new(name: NodeName, links: Vec<LinkConfig>, entropy: [u8; 32]) -> Config {
        Config {
            name,
            links,
            ethertype: 0x88b5,
            entropy,
            tolerance: Duration::from_millis(1500),
            resolve_timeout: Duration::from_secs(1),
            ack_delay: Duration::from_millis(1),
            probe_timeout_min: Duration::from_millis(1),
            keepalive_idle: Duration::from_secs(5),
            receive_window_len: 1 << 20,
            seals: false,
        }
    }

    /// Checks the relations between the fields.
    ///
    /// # Errors
    /// `EINVAL` no link or too many, an MTU out of bounds, a tolerance under ten times
    /// the delays of acknowledgement and probe, or a receive window under two of the largest frames.
    pub fn check(&self) -> Result<(), Errno> {
        let links = !self.links.is_empty() && self.links.len() <= LINKS_MAX;
        let mtus = self
            .links
            .iter()
            .all(|link| (MTU_MIN..=MTU_MAX).contains(&link.mtu));
        let times = self.tolerance >= 10 * (self.ack_delay + self.probe_timeout_min)
            && !self.probe_timeout_min.is_zero()
            && !self.ack_delay.is_zero()
            && !self.keepalive_idle.is_zero();
        let window = self
            .links
            .iter()
            .all(|link| self.receive_window_len as usize >= 2 * link.mtu);
        if links && mtus && times && window {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }
}
