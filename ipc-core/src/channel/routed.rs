//! Pulses that clients of a router sent to other nodes.

use std::collections::VecDeque;

use crate::{
    abi::{Chid, ClientInfo, Coid, Nd, Pid, Pulse},
    channel::{Channel, attached::Attached},
};

/// A pulse on a router's channel, with where it is to go. A message says the same of itself
/// ([`crate::ReceivedMessage::target`]); a plain [`Pulse`] cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedPulse {
    /// Which connection it came through; see [`crate::ReceivedMessage::connection_id`].
    pub connection_id: u64,
    /// The server it is meant for.
    pub target: (Nd, Pid, Chid),
    /// Who sent it.
    pub client: ClientInfo,
    /// What the client calls the connection.
    pub coid: Coid,
    /// The pulse.
    pub pulse: Pulse,
}

/// Routed pulses that wait, in the order in which their connections were looked at: that of sending
/// for each connection.
#[derive(Debug, Default)]
pub(super) struct RoutedPulses(VecDeque<(u32, RoutedPulse)>);

impl RoutedPulses {
    /// Queues a pulse of connection `index`; `false` if the connection leads to this process itself.
    pub(super) fn push(&mut self, index: u32, attached: &Attached, pulse: Pulse) -> bool {
        let Some(target) = attached.target else {
            return false;
        };
        let routed = RoutedPulse {
            connection_id: attached.id,
            target,
            client: attached.client,
            coid: attached.coid,
            pulse,
        };
        self.0.push_back((index, routed));
        true
    }

    /// The next one, and the index its connection had.
    pub(super) fn pop(&mut self) -> Option<(u32, RoutedPulse)> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Channel {
    /// Takes the next pulse that a client of this router sent to another node, without waiting. They
    /// are not received as other pulses are: [`crate::Outside::arm`] tells of both.
    pub fn try_receive_routed(&self) -> Option<RoutedPulse> {
        let mut state = self.0.lock();
        state.drain(&self.0.counters);
        let routed = state.receive_routed()?;
        drop(state);
        self.0.counters.pulses.add_one();
        Some(routed)
    }
}
