//! What a router's channel does beside others': it tells of each connection's end, and keeps the pulses
//! that clients sent to other nodes.

use std::collections::{HashMap, VecDeque};

use crate::{
    abi::{
        Chid, ClientInfo, Coid, Nd, Pid, Pulse, PulseCode, Rcvid, Result,
        limits::{PRIORITY_DEFAULT, PULSES_KEPT_MAX},
    },
    channel::{Channel, attached::Attached, state::State},
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

/// Routed pulses that wait, by the node they are for, in the order in which their connections were looked at: that of
/// sending for each connection. Nodes take turns.
///
/// Each living connection has a share of its own; those of connections that have ended are counted, so that
/// whoever comes and goes does not fill the router up.
#[derive(Debug, Default)]
pub(super) struct RoutedPulses {
    /// None is empty and not held.
    lines: HashMap<Nd, Line>,
    /// Nodes whose pulses may be received; the first is next.
    order: VecDeque<Nd>,
    /// How many wait, by connection, ended or not; none is 0.
    waiting: HashMap<u64, usize>,
    of_the_gone: usize,
}

/// The pulses for one node.
#[derive(Debug, Default)]
struct Line {
    pulses: VecDeque<RoutedPulse>,
    is_held: bool,
}

impl RoutedPulses {
    /// Queues a pulse of a connection; `false` if the connection leads to this process itself.
    pub(super) fn push(&mut self, attached: &Attached, pulse: Pulse) -> bool {
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
        let line = self.lines.entry(target.0).or_default();
        if line.pulses.is_empty() && !line.is_held {
            self.order.push_back(target.0);
        }
        line.pulses.push_back(routed);
        *self.waiting.entry(attached.id).or_default() += 1;
        true
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, id: u64) {
        self.of_the_gone += self.waiting.get(&id).copied().unwrap_or(0);
    }

    /// Whether one may be received.
    pub(super) fn has_any(&self) -> bool {
        !self.order.is_empty()
    }

    /// Whether pulses for a node are to wait.
    fn hold(&mut self, nd: Nd, is_held: bool) {
        let line = self.lines.entry(nd).or_default();
        if std::mem::replace(&mut line.is_held, is_held) != is_held {
            match (is_held, line.pulses.is_empty()) {
                (true, _) => self.order.retain(|other| *other != nd),
                (false, false) => self.order.push_back(nd),
                (false, true) => {}
            }
        }
        self.forget_unused(nd);
    }

    fn pop(&mut self) -> Option<RoutedPulse> {
        let nd = self.order.pop_front()?;
        let line = self.lines.get_mut(&nd)?;
        let next = line.pulses.pop_front()?;
        match line.pulses.is_empty() {
            true => self.forget_unused(nd),
            false => self.order.push_back(nd),
        }
        let id = next.connection_id;
        if let Some(waiting) = self.waiting.get_mut(&id) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&id);
            }
        }
        Some(next)
    }

    fn forget_unused(&mut self, nd: Nd) {
        let line = self.lines.get(&nd);
        if line.is_some_and(|line| line.pulses.is_empty() && !line.is_held) {
            self.lines.remove(&nd);
        }
    }
}

impl State {
    /// Whether those who came and went left so many pulses behind that nobody else is let in (PLS-2).
    pub(super) fn keeps_too_many_pulses(&self) -> bool {
        if self.routed.of_the_gone >= PULSES_KEPT_MAX {
            return true;
        }
        let queued = self.table.pulses_queued();
        if queued < PULSES_KEPT_MAX {
            // Nor can those be as many that are no living connection's: nothing is counted for that.
            return false;
        }
        let living = self.connections.iter().flatten();
        // Those for other nodes are not in this queue.
        let local = living.filter(|connected| connected.attached.target.is_none());
        let of_living: usize = local.map(|c| c.pulses_queued as usize).sum();
        queued.saturating_sub(of_living) >= PULSES_KEPT_MAX
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
        if let Some(connected) = self.named(id) {
            connected.attached.cut();
        }
    }

    /// So many pulses of a connection found room where they were to go.
    fn routed_taken(&mut self, id: u64, count: u32) {
        let index = self.indices.get(&id).copied();
        let connected = index.and_then(|index| self.connections.get_mut(index as usize));
        if let Some(Some(connected)) = connected {
            connected.pulses_queued = connected.pulses_queued.saturating_sub(count);
        }
    }

    /// The next pulse for another node.
    pub(super) fn receive_routed(&mut self) -> Option<RoutedPulse> {
        let routed = self.routed.pop()?;
        if !self.indices.contains_key(&routed.connection_id) {
            self.routed.of_the_gone -= 1;
        }
        Some(routed)
    }
}

impl Channel {
    /// Takes the next pulse that a client of this router sent to another node, without waiting. They
    /// are not received as other pulses are: [`crate::Outside::arm`] tells of both. Each one counts
    /// against its connection's share until it is [taken](Self::routed_taken). Nodes take turns; pulses for one that is
    /// [held](Self::hold_routed) wait.
    pub fn try_receive_routed(&self) -> Option<RoutedPulse> {
        let mut state = self.0.lock_own().ok()?;
        state.drain();
        let routed = state.receive_routed()?;
        state.counts.pulses += 1;
        Some(routed)
    }

    /// Whether pulses for the node `nd` wait from now on, whoever sends them, until this is called again with `false`:
    /// those for other nodes pass them. No effect in a forked child.
    pub fn hold_routed(&self, nd: Nd, is_held: bool) {
        if let Ok(mut state) = self.0.lock_own() {
            state.routed.hold(nd, is_held);
        }
    }

    /// Whether pulses of a connection wait for [`try_receive_routed`](Self::try_receive_routed), ended or not; false in a
    /// forked child.
    pub fn has_routed(&self, connection_id: u64) -> bool {
        let state = self.0.lock_own();
        state.is_ok_and(|state| state.routed.waiting.contains_key(&connection_id))
    }

    /// Says that `count` more of a connection's routed pulses found room at their server, or never will:
    /// the client may send as many again (PLS-2). No effect once the connection has ended, nor in a forked child.
    pub fn routed_taken(&self, connection_id: u64, count: u32) {
        if let Ok(mut state) = self.0.lock_own() {
            state.routed_taken(connection_id, count);
        }
    }
}
