//! What local clients and remote servers send each other without an answer.
//!
//! A node that does not acknowledge holds up the pulses for itself, and what their clients sent after them: nobody
//! else's.

use ipc_core::{
    RoutedPulse,
    abi::{Errno, EventHandle, PulseCode},
};
use qnet_proto::{OutboundConn, Pulse};

use crate::{
    bridge::{
        Turn,
        outbound::{Outbound, Route, Sender, local_errno},
    },
    limits::MESSAGES_PER_ROUND,
};

impl Outbound {
    /// Whether a pulse waits for room in the engine, which frames make, or the end of a node.
    pub(in crate::bridge) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// A node is down: what waited for room there need not wait for a frame.
    pub(in crate::bridge) fn node_ended(&mut self) {
        self.may_have_room = self.has_held();
    }

    /// Whether pulses that wait are to be looked at again at once.
    pub(in crate::bridge) fn may_have_room(&self) -> bool {
        self.may_have_room
    }

    /// Whether pulses of a connection wait, ended or not.
    pub(super) fn has_pulses(&self, route: Route) -> bool {
        let mut held = self.held.iter();
        held.any(|held| held.connection_id == route) || self.channel.has_routed(route)
    }

    /// Sends the pulses that clients posted and for which there is room, and then ends the connections that waited for
    /// theirs. Answers whether there may be more such pulses.
    pub(super) fn send_pulses(&mut self, turn: &mut Turn<'_>) -> bool {
        self.may_have_room = false;
        for routed in std::mem::take(&mut self.held) {
            let nd = routed.target.0;
            if self.send_pulse(turn, routed) {
                self.channel.hold_routed(nd, false);
            }
        }
        let mut has_more = true;
        for _ in 0..MESSAGES_PER_ROUND {
            let Some(routed) = self.channel.try_receive_routed() else {
                has_more = false;
                break;
            };
            let nd = routed.target.0;
            if !self.send_pulse(turn, routed) {
                self.channel.hold_routed(nd, true);
            }
        }
        for route in std::mem::take(&mut self.leaving) {
            self.leave_in_turn(turn, route);
        }
        has_more
    }

    /// A client's pulse for a server on another node; keeps it, and answers false, if there is no room. Its sender does not
    /// wait: what cannot arrive, because server or node have gone, is counted.
    fn send_pulse(&mut self, turn: &mut Turn<'_>, routed: RoutedPulse) -> bool {
        let pulse = Pulse {
            code: routed.pulse.code.0,
            priority: routed.pulse.priority,
            value: routed.pulse.value,
        };
        let sent = self
            .conn_of(turn, &Sender::of_pulse(&routed))
            .and_then(|conn| {
                let sent = turn.engine.pulse_server(turn.now, conn, pulse);
                sent.map_err(local_errno)
            });
        if sent == Err(Errno::EAGAIN) {
            self.held.push(routed);
            return false;
        }
        turn.counters.pulses += 1;
        if let Err(errno) = sent {
            turn.counters.pulses_lost += 1;
            self.channel.routed_taken(routed.connection_id, 1);
            tracing::debug!("a pulse of {} is lost: {errno}", routed.client.pid);
        }
        true
    }

    /// A client detached one connection, or died. The pulses it had sent are out of its ring by now, but may
    /// not have had their turn: one that came after the detach would open the connection again, for ever.
    pub(super) fn leave(&mut self, turn: &mut Turn<'_>, route: Route) {
        self.send_pulses(turn);
        self.leave_in_turn(turn, route);
    }

    /// Ends the virtual connection of one that has gone, once its pulses have had their turn.
    fn leave_in_turn(&mut self, turn: &mut Turn<'_>, route: Route) {
        match self.has_pulses(route) {
            true => self.leaving.push(route),
            false => self.detached(turn, route),
        }
    }

    /// What a server, or its node's qnet, tells the client of a connection without being asked.
    pub(in crate::bridge) fn server_says(
        &self,
        turn: &mut Turn<'_>,
        conn: OutboundConn,
        pulse: Pulse,
    ) {
        let Some(route) = self.routes.get(&conn).copied() else {
            return;
        };
        match PulseCode(pulse.code) {
            PulseCode::PULSES_TAKEN => {
                let count = u32::try_from(pulse.value).unwrap_or(0);
                self.channel.routed_taken(route, count);
            }
            PulseCode::EVENT => {
                let handle = EventHandle(pulse.value.cast_unsigned());
                let port = self.channel.event_port_of(route);
                turn.counters.pulses += 1;
                // The server's window is no wider than the client's: what does not fit is no honest node's.
                if let Err(errno) = port.and_then(|port| port.deliver(handle)) {
                    turn.counters.pulses_lost += 1;
                    tracing::debug!("an event is lost: {errno}");
                }
            }
            code => tracing::debug!("{code:?} means nothing to a client's node"),
        }
    }
}
