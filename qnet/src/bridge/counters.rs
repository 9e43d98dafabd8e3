//! What the bridge counts.

use std::collections::BTreeMap;

use qnet_proto::{
    DropReason, Dropped, Engine, Histogram, NodeInfo, NodeState, PathInfo, PathState, PeerStats,
};
use serde::Serialize;

use crate::driver::{Interface, LinkCounters, histogram};

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
    /// Frames, through all links together.
    pub link: LinkCounters,
    /// The links, in order of preference.
    pub links: Vec<LinkStatistics>,
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

/// One link of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkStatistics {
    /// The interface's name.
    pub interface: String,
    /// Its address.
    pub mac: String,
    /// Bytes that a frame carries behind its Ethernet header.
    pub mtu: usize,
    /// Whether it is up and has a carrier.
    pub carrier: bool,
    /// Frames that came through it, and records of them, that the engine dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Frames.
    #[serde(flatten)]
    pub counters: LinkCounters,
}

/// One path to another node: a link of this node and an address of the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PathStatistics {
    /// The interface's name.
    pub interface: String,
    /// The other node's address.
    pub mac: String,
    /// `up`, `trying`, `silent` or `down`.
    pub state: &'static str,
    /// Smoothed round-trip time, ns; 0 when not measured.
    pub rtt_ns: u64,
    /// Bytes that may be on their way.
    pub window_len: u64,
    /// Bytes that are.
    pub in_flight_len: u64,
    /// Bytes that a frame carries behind its Ethernet header.
    pub mtu: usize,
    /// Frames sent in the session.
    pub frames_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Frames taken in the session.
    pub frames_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Packets that counted as lost.
    pub packets_lost: u64,
    /// Probe timeouts.
    pub probe_timeouts: u64,
    /// How often it fell silent or lost its carrier.
    pub failures: u64,
}

/// One other node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeStatistics {
    /// Its name.
    pub name: String,
    /// Its descriptor on this node.
    pub nd: u32,
    /// `up` with a session, `connecting`, `down` if it does not answer, else `known`.
    pub state: &'static str,
    /// Why it is `down`: `silent` (nothing was heard for the tolerance), `unreachable` (it did not answer at all),
    /// `goodbye`, `name in use` or `frames of 576 bytes do not pass`.
    pub down_reason: Option<&'static str>,
    /// For how long it is `down`, ns.
    pub down_ns: Option<u64>,
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
    /// Records that were lost with their packets, and sent again if they still had a meaning.
    pub records_lost: u64,
    /// Records per packet sent, acknowledgements aside.
    #[serde(serialize_with = "histogram")]
    pub bundles_sent: Histogram,
    /// Records per packet taken, acknowledgements aside.
    #[serde(serialize_with = "histogram")]
    pub bundles_received: Histogram,
    /// Frames of its sessions, and records of them, that were dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// The paths of the session, if there is one.
    pub paths: Vec<PathStatistics>,
}

impl Statistics {
    /// What the engine counted.
    pub(super) fn of_engine(engine: &Engine, interfaces: &[Interface]) -> Statistics {
        let reasons = DropReason::ALL.iter();
        let dropped = reasons.map(|reason| (reason.text(), engine.dropped(*reason)));
        let of_path = |path: PathInfo| {
            let interface = &interfaces[usize::from(path.link.0)];
            PathStatistics::new(&interface.name, &path)
        };
        let of_node = |node: NodeInfo| NodeStatistics {
            paths: engine.paths(node.peer).map(of_path).collect(),
            ..NodeStatistics::new(&node, engine.peer_stats(node.peer))
        };
        Statistics {
            nodes: engine.nodes().map(of_node).collect(),
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            ..Statistics::default()
        }
    }
}

/// The reasons that occurred, each with how often.
pub(super) fn by_reason(dropped: &Dropped) -> BTreeMap<&'static str, u64> {
    let reasons = dropped.reasons();
    reasons
        .map(|(reason, count)| (reason.text(), count))
        .collect()
}

impl PathStatistics {
    fn new(interface: &str, path: &PathInfo) -> PathStatistics {
        PathStatistics {
            interface: interface.to_owned(),
            mac: path.mac.to_string(),
            state: match path.state {
                PathState::Up => "up",
                PathState::Trying => "trying",
                PathState::Silent => "silent",
                PathState::Down => "down",
            },
            rtt_ns: path.rtt_ns,
            window_len: path.window_len,
            in_flight_len: path.in_flight_len,
            mtu: path.mtu,
            frames_sent: path.stats.frames_sent,
            bytes_sent: path.stats.bytes_sent,
            frames_received: path.stats.frames_received,
            bytes_received: path.stats.bytes_received,
            packets_lost: path.stats.packets_lost,
            probe_timeouts: path.stats.probe_timeouts,
            failures: path.stats.failures,
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
            down_reason: None,
            down_ns: None,
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
            records_lost: traffic.records_lost,
            bundles_sent: traffic.bundles_sent,
            bundles_received: traffic.bundles_received,
            dropped: by_reason(&traffic.dropped),
            paths: Vec::new(),
        }
    }
}
