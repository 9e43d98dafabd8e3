//! What the bridge counts.

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

/// Everything that is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Frames.
    pub link: LinkCounters,
    /// Messages.
    pub bridge: BridgeCounters,
    /// Virtual connections of remote clients that are open.
    pub connections_in: usize,
    /// Virtual connections of local clients that are open.
    pub connections_out: usize,
    /// Messages of remote clients that are not answered.
    pub pending_in: usize,
    /// Messages of local clients that are not answered.
    pub pending_out: usize,
}
