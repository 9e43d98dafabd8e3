//! What the bridge counts.

use std::collections::BTreeMap;

use qnet_proto::{DropReason, Engine, NodeInfo, NodeState, PeerStats};
use serde::Serialize;

use crate::driver::LinkCounters;

/// Messages and faults since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BridgeCounters {
    /// Messages of local clients, sent to other nodes.
    pub messages_out: u64,
    /// Of these, answered with a reply.
    pub replies_in: u64,
    /// Of these, ended in an error, of the server or of the network.
    pub errors_in: u64,
    /// Messages of remote clients, handed to local servers.
    pub messages_in: u64,
    /// Of these, answered with a reply.
    pub replies_out: u64,
    /// Of these, ended in an error.
    pub errors_out: u64,
    /// Messages of remote clients that had to wait for a buffer.
    pub messages_staged: u64,
    /// Attaches to local servers for remote clients.
    pub attaches: u64,
    /// Of these, refused.
    pub attaches_refused: u64,
    /// Pulses that crossed the network, either way.
    pub pulses: u64,
    /// Pulses that no queue had room for.
    pub pulses_lost: u64,
    /// Rounds of the network-handler thread.
    pub rounds: u64,
}

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// The other nodes, and the traffic with each.
    pub nodes: Vec<NodeStatistics>,
    /// Frames.
    pub link: LinkCounters,
    /// Messages.
    pub bridge: BridgeCounters,
    /// Frames and records dropped by the engine, by reason; reasons that never occurred are left out.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Virtual connections of remote clients that are open.
    pub connections_in: usize,
    /// Virtual connections of local clients that are open.
    pub connections_out: usize,
    /// Messages of remote clients that are not answered.
    pub pending_in: usize,
    /// Messages of local clients that are not answered.
    pub pending_out: usize,
}

/// One other node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeStatistics {
    /// Its name.
    pub name: String,
    /// Its descriptor on this node.
    pub nd: u32,
    /// `known`, `connecting` or `up`.
    pub state: &'static str,
    /// Its address.
    pub mac: String,
    /// Smoothed round-trip time, ns; 0 when not measured.
    pub rtt_ns: u64,
    /// Frames sent in sessions.
    pub frames_sent: u64,
    /// Of those, frames that carried nothing but an acknowledgement.
    pub acks_sent: u64,
    /// Bytes of frames sent.
    pub bytes_sent: u64,
    /// Frames taken in sessions.
    pub frames_received: u64,
    /// Bytes of frames taken.
    pub bytes_received: u64,
    /// Packets that counted as lost.
    pub packets_lost: u64,
    /// Probe timeouts.
    pub probe_timeouts: u64,
    /// Sessions established.
    pub sessions: u64,
    /// Messages that local clients sent there.
    pub messages_sent: u64,
    /// Messages that arrived from there completely.
    pub messages_received: u64,
}

impl Statistics {
    /// What the engine counted.
    pub(super) fn of_engine(engine: &Engine) -> Statistics {
        let reasons = DropReason::ALL.iter();
        let dropped = reasons.map(|reason| (reason.text(), engine.dropped(*reason)));
        let of_node = |node| NodeStatistics::new(&node, engine.peer_stats(node.peer));
        Statistics {
            nodes: engine.nodes().map(of_node).collect(),
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            ..Statistics::default()
        }
    }
}

impl NodeStatistics {
    fn new(node: &NodeInfo, traffic: Option<PeerStats>) -> NodeStatistics {
        let traffic = traffic.unwrap_or_default();
        NodeStatistics {
            name: node.name.to_string(),
            nd: node.peer.0,
            state: match node.state {
                NodeState::Known => "known",
                NodeState::Connecting => "connecting",
                NodeState::Up => "up",
            },
            mac: node.mac.to_string(),
            rtt_ns: node.rtt_ns,
            frames_sent: traffic.frames_sent,
            acks_sent: traffic.acks_sent,
            bytes_sent: traffic.bytes_sent,
            frames_received: traffic.frames_received,
            bytes_received: traffic.bytes_received,
            packets_lost: traffic.packets_lost,
            probe_timeouts: traffic.probe_timeouts,
            sessions: traffic.sessions,
            messages_sent: traffic.messages_sent,
            messages_received: traffic.messages_received,
        }
    }
}
