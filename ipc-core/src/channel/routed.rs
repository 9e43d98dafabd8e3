//! What a router's channel does beside others': it tells of each connection's end, and keeps the pulses
//! that clients sent to other nodes.

use std::collections::VecDeque;

use crate::{
    abi::{
        Chid, ClientInfo, Coid, Nd, Pid, Pulse, PulseCode, Rcvid, Result,
        limits::{PRIORITY_DEFAULT, PULSES_KEPT_MAX},
    },
    channel::{
        Channel,
        attached::Attached,
        state::{Connected, State},
    },
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
///
/// Each living connection has a share of its own; those of connections that have ended are counted, so that
/// whoever comes and goes does not fill the router up.
#[derive(Debug, Default)]
pub(super) struct RoutedPulses {
    waiting: VecDeque<(u32, RoutedPulse)>,
    of_the_gone: usize,
}

impl RoutedPulses {
    /// Queues a pulse of connection `index`; `false` if the connection leads to this process itself.
    pub(super) fn push(&mut self, index: u32, connected: &mut Connected, pulse: Pulse) -> bool {
        let attached = &connected.attached;
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
        self.waiting.push_back((index, routed));
        connected.routed_waiting += 1;
        true
    }

    /// A connection has ended of which so many wait.
    pub(super) fn leave(&mut self, waiting: usize) {
        self.of_the_gone += waiting;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl State {
    /// Whether those who came and went left so many pulses behind that nobody else is let in (PLS-2).
    pub(super) fn keeps_too_many_pulses(&self) -> bool {
        let living = self.connections.iter().flatten();
        // Those for other nodes are not in this queue.
        let local = living.filter(|connected| connected.attached.target.is_none());
        let of_living: usize = local.map(|c| c.pulses_queued as usize).sum();
        let kept = self.table.pulses_queued().saturating_sub(of_living);
        kept >= PULSES_KEPT_MAX || self.routed.of_the_gone >= PULSES_KEPT_MAX
    }

    /// A router speaks for each connection by itself, and must learn of each one's end.
    pub(super) fn tell_of_detach(&mut self, attached: &Attached) {
        let pulse = Pulse {
            code: PulseCode::DETACHED,
            value: attached.id.cast_signed(),
            priority: PRIORITY_DEFAULT,
            scoid: attached.scoid,
        };
        let stamp = self.stamp();
        self.table.arrive_pulse(stamp, pulse, None);
    }

    /// A client's time of SEND is over, of the message at `at` that the router has taken along: the router is told, once,
    /// unless the server is known to have the message (TMO-1). Answers whether it was.
    pub(super) fn ask_back(&mut self, at: u32) -> bool {
        let id = self.table.reply_blocked_at(at);
        let message = id.and_then(|id| self.table.blocked_mut(id).ok());
        let (Some(id), Some(message)) = (id, message) else {
            return false;
        };
        if std::mem::replace(&mut message.return_settled, true) {
            return false;
        }
        let message = *message;
        let pulse = Pulse {
            code: PulseCode::WITHDRAW,
            value: id.0,
            priority: message.entry.priority,
            scoid: self.attached(&message).scoid,
        };
        let stamp = self.stamp();
        self.table.arrive_pulse(stamp, pulse, None);
        true
    }

    /// The server on the other node has a message. Answers whether its client is to be told: one that wants out
    /// altogether is not.
    ///
    /// # Errors
    /// `ESRCH` unless the client is REPLY-blocked.
    pub(super) fn received_there(&mut self, id: Rcvid) -> Result<bool> {
        self.table.blocked_mut(id)?.return_settled = true;
        let (_, is_unblocking) = self.table.blocked(id)?;
        Ok(!is_unblocking)
    }

    /// Hangs up on one connection.
    pub(super) fn cut(&self, id: u64) {
        let mut connected = self.connections.iter().flatten();
        if let Some(connected) = connected.find(|connected| connected.attached.id == id) {
            connected.attached.cut();
        }
    }

    /// So many pulses of a connection found room where they were to go.
    fn routed_taken(&mut self, id: u64, count: u32) {
        let mut connected = self.connections.iter_mut().flatten();
        if let Some(connected) = connected.find(|connected| connected.attached.id == id) {
            connected.pulses_queued = connected.pulses_queued.saturating_sub(count);
        }
    }

    /// The next pulse for another node.
    pub(super) fn receive_routed(&mut self) -> Option<RoutedPulse> {
        let (index, routed) = self.routed.waiting.pop_front()?;
        let connected = self.connections.get_mut(index as usize);
        let connected = connected.and_then(Option::as_mut);
        match connected.filter(|c| c.attached.id == routed.connection_id) {
            Some(connected) => connected.routed_waiting -= 1,
            None => self.routed.of_the_gone -= 1,
        }
        Some(routed)
    }
}

impl Channel {
    /// Takes the next pulse that a client of this router sent to another node, without waiting. They
    /// are not received as other pulses are: [`crate::Outside::arm`] tells of both. Each one counts
    /// against its connection's share until it is [taken](Self::routed_taken).
    pub fn try_receive_routed(&self) -> Option<RoutedPulse> {
        let mut state = self.0.lock_own().ok()?;
        state.drain();
        let routed = state.receive_routed()?;
        state.counts.pulses += 1;
        Some(routed)
    }

    /// Whether pulses of a connection wait for [`try_receive_routed`](Self::try_receive_routed); no longer once the
    /// connection has ended, nor in a forked child.
    pub fn has_routed(&self, connection_id: u64) -> bool {
        let Ok(state) = self.0.lock_own() else {
            return false;
        };
        let mut connected = state.connections.iter().flatten();
        connected.any(|c| c.attached.id == connection_id && c.routed_waiting > 0)
    }

    /// Says that `count` more of a connection's routed pulses found room at their server, or never will:
    /// the client may send as many again (PLS-2). No effect once the connection has ended, nor in a forked child.
    pub fn routed_taken(&self, connection_id: u64, count: u32) {
        if let Ok(mut state) = self.0.lock_own() {
            state.routed_taken(connection_id, count);
        }
    }
}
