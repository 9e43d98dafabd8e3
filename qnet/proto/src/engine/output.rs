//! What the engine hands out: frames to send, and what it knows of nodes.

use crate::{LinkId, Mac, NodeName, PeerId};

/// A frame to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Through which link.
    pub link: LinkId,
    /// To whom; it stands in the frame's Ethernet header too.
    pub dst_mac: Mac,
    /// Bytes of the frame, from the start of the buffer.
    pub len: usize,
}

/// How far the engine is with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Heard of, or named by the hosts file; no session.
    Known,
    /// A session is being set up.
    Connecting,
    /// There is a session.
    Up,
}

/// One line of `ls /net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its number on this node.
    pub peer: PeerId,
    /// Its name.
    pub name: NodeName,
    /// How far the engine is with it.
    pub state: NodeState,
    /// Where it was heard last.
    pub link: LinkId,
    /// Its address there.
    pub mac: Mac,
    /// Smoothed round-trip time, ns; 0 when not measured.
    pub rtt_ns: u64,
}

/// What is in progress with all peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Messages of local clients without an outcome.
    pub outbound_calls: usize,
    /// Messages of remote clients whose answer is not known to have arrived.
    pub inbound_calls: usize,
    /// Connections of local clients.
    pub outbound_conns: usize,
    /// Connections of remote clients.
    pub inbound_conns: usize,
}
