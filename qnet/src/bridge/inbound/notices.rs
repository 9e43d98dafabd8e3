//! What goes without an answer: pulses of remote clients to local servers, and events of local servers
//! to remote clients.
//!
//! Neither is lost to a full queue. A pulse holds its place in the client's own queue until the server's has
//! room for it (`PULSES_TAKEN` goes back), so that a client is told `EAGAIN` as by a server of its own
//! node; an event counts against the server's window until the client has taken it (`EVENTS_TAKEN` comes
//! back).

use std::collections::VecDeque;

use ipc_core::{
    Connection, EventReceipt,
    abi::{Errno, EventHandle, PulseCode, limits::EVENTS_IN_FLIGHT_MAX},
};
use qnet_proto::{InboundConn, Pulse};

use crate::{
    bridge::{
        Request, Turn,
        attacher::Attached,
        inbound::{Conn, ConnState, Inbound},
    },
    limits::{LINGERING_MAX, PULSES_TAKEN_EVERY, PULSES_WAITING_MAX},
};

/// What of one connection is on its way.
#[derive(Default)]
pub(super) struct Notices {
    /// For the server, first come first, each with how many came before it.
    pulses: VecDeque<(u64, Pulse)>,
    /// Pulses that have come, of all kinds.
    arrived: u64,
    /// Pulses that the server has and the client's node was not told of.
    taken: u32,
    /// For the client.
    events: VecDeque<EventHandle>,
    /// Of events that the client has not taken.
    receipts: VecDeque<EventReceipt>,
    /// Whether its connection is in the list of those to be tried again.
    is_noted: bool,
}

impl Notices {
    pub(super) fn has_pulses(&self) -> bool {
        !self.pulses.is_empty()
    }

    /// Whether one of the first `pulses` that the client sent has not been passed on: what it sent after them waits.
    pub(super) fn is_behind(&self, pulses: u64) -> bool {
        let passed = self.pulses.front().map_or(self.arrived, |(at, _)| *at);
        passed < pulses
    }

    fn is_stuck(&self) -> bool {
        !self.pulses.is_empty() || !self.events.is_empty() || self.taken >= PULSES_TAKEN_EVERY
    }

    /// Hands pulses over as long as the server has room. Answers how many it, for whatever reason, will
    /// not get.
    fn pass_pulses(&mut self, state: &ConnState) -> u64 {
        let ConnState::Ready {
            connection,
            may_pulse,
        } = state
        else {
            return 0;
        };
        let mut lost = 0;
        while let Some((_, pulse)) = self.pulses.front() {
            let sent = match may_pulse {
                true => send(connection, pulse),
                false => Err(Errno::EPERM),
            };
            match sent {
                Ok(()) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => {
                    lost += 1;
                    tracing::debug!("a pulse of a remote client is lost: {errno}");
                }
            }
            self.pulses.pop_front();
            self.taken += 1;
        }
        lost
    }
}

fn send(connection: &Connection, pulse: &Pulse) -> Result<(), Errno> {
    connection.send_pulse(Some(pulse.priority), PulseCode(pulse.code), pulse.value)
}

impl Inbound {
    /// Whether something waits for room that nobody announces.
    pub(in crate::bridge) fn has_notices(&self) -> bool {
        let is_ready = |gone: &Conn| matches!(gone.state, ConnState::Ready { .. });
        let gone_wait = self.lingering.iter().any(|(_, gone)| is_ready(gone));
        !self.full.is_empty() || gone_wait
    }

    /// Tries again what found no room.
    pub(in crate::bridge) fn retry_notices(&mut self, turn: &mut Turn<'_>) {
        for conn in std::mem::take(&mut self.full) {
            if let Some(entry) = self.conns.get_mut(conn) {
                entry.notices.is_noted = false;
            }
            self.pass_pulses(turn, conn);
            self.pass_events(turn, conn);
        }
        for (_, gone) in &mut self.lingering {
            turn.counters.pulses_lost += gone.notices.pass_pulses(&gone.state);
        }
        self.lingering.retain(|(_, gone)| gone.notices.has_pulses());
        turn.counters.pulses_lost += std::mem::take(&mut self.unkept);
    }

    /// A remote client's pulse: for its server, or for this qnet.
    pub(in crate::bridge) fn pulse(
        &mut self,
        turn: &mut Turn<'_>,
        conn: InboundConn,
        pulse: Pulse,
    ) {
        let Some(entry) = self.conns.get_mut(conn) else {
            turn.counters.pulses_lost += 1;
            return;
        };
        let notices = &mut entry.notices;
        let at = notices.arrived;
        notices.arrived += 1;
        if pulse.code == PulseCode::EVENTS_TAKEN.0 {
            let count = usize::try_from(pulse.value).unwrap_or(0);
            notices
                .receipts
                .drain(..count.min(notices.receipts.len()))
                .for_each(drop);
            return self.note_room(conn);
        }
        turn.counters.pulses += 1;
        if notices.pulses.len() >= PULSES_WAITING_MAX {
            // More than an honest node lets a client have under way.
            turn.counters.pulses_lost += 1;
            return self.note_room(conn);
        }
        notices.pulses.push_back((at, pulse));
        self.pass_pulses(turn, conn);
    }

    /// Hands a connection's pulses to its server, and tells the client's node of those that found room.
    pub(super) fn pass_pulses(&mut self, turn: &mut Turn<'_>, conn: InboundConn) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        let notices = &mut entry.notices;
        turn.counters.pulses_lost += notices.pass_pulses(&entry.state);
        let is_due = notices.taken >= PULSES_TAKEN_EVERY || notices.pulses.is_empty();
        if notices.taken > 0 && is_due {
            let told = tell(turn, conn, PulseCode::PULSES_TAKEN, notices.taken.into());
            // A client that has gone needs no room.
            if told != Err(Errno::EAGAIN) {
                notices.taken = 0;
            }
        }
        // What was sent after them may have waited.
        self.note_room(conn);
        self.note_full(conn);
    }

    /// Has the events of a local server come to the network-handler thread.
    pub(super) fn forward_events(&self, conn: InboundConn, connection: &Connection) {
        let mailbox = self.mailbox.clone();
        connection.forward_events(Box::new(move |handle, receipt| {
            mailbox.put(Request::Event {
                conn,
                handle,
                receipt,
            });
        }));
    }

    /// A local server delivers an event to its remote client.
    pub(in crate::bridge) fn event(
        &mut self,
        turn: &mut Turn<'_>,
        conn: InboundConn,
        handle: EventHandle,
        receipt: EventReceipt,
    ) {
        // A client that has gone takes everything.
        if let Some(entry) = self.conns.get_mut(conn) {
            debug_assert!(entry.notices.receipts.len() < EVENTS_IN_FLIGHT_MAX as usize);
            entry.notices.receipts.push_back(receipt);
            entry.notices.events.push_back(handle);
            self.pass_events(turn, conn);
        }
    }

    fn pass_events(&mut self, turn: &mut Turn<'_>, conn: InboundConn) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        while let Some(handle) = entry.notices.events.front() {
            if tell(turn, conn, PulseCode::EVENT, handle.0.cast_signed()) == Err(Errno::EAGAIN) {
                break;
            }
            turn.counters.pulses += 1;
            entry.notices.events.pop_front();
        }
        self.note_full(conn);
    }

    /// Remembers a connection that has to be tried again. Before its attach has ended nothing can be.
    fn note_full(&mut self, conn: InboundConn) {
        if let Some(entry) = self.conns.get_mut(conn)
            && matches!(entry.state, ConnState::Ready { .. })
            && entry.notices.is_stuck()
            && !std::mem::replace(&mut entry.notices.is_noted, true)
        {
            self.full.push(conn);
        }
    }

    /// Keeps what a client that has gone left behind until it has arrived.
    pub(super) fn linger(&mut self, conn: InboundConn, gone: Conn) {
        if self.lingering.len() >= LINGERING_MAX {
            self.unkept += gone.notices.pulses.len() as u64;
        } else if gone.notices.has_pulses() {
            self.lingering.push((conn, gone));
        }
    }

    /// An attach has ended whose client has gone.
    pub(super) fn attached_late(
        &mut self,
        turn: &mut Turn<'_>,
        conn: InboundConn,
        attached: Option<Attached>,
    ) {
        let late = |(id, gone): &(InboundConn, Conn)| {
            *id == conn && matches!(gone.state, ConnState::Attaching)
        };
        let Some(at) = self.lingering.iter().position(late) else {
            return;
        };
        match attached {
            Some(attached) => self.lingering[at].1.state = ConnState::ready(attached),
            None => {
                let (_, gone) = self.lingering.swap_remove(at);
                turn.counters.pulses_lost += gone.notices.pulses.len() as u64;
            }
        }
    }
}

/// Tells a client's node something, as a pulse with a code that no program can send.
fn tell(turn: &mut Turn<'_>, conn: InboundConn, code: PulseCode, value: i64) -> Result<(), Errno> {
    let pulse = Pulse {
        code: code.0,
        priority: 0,
        value,
    };
    let told = turn.engine.pulse_client(turn.now, conn, pulse);
    told.map_err(crate::bridge::outbound::local_errno)
}
