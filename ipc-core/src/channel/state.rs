//! What one channel's lock protects: its table, its connections and clients, its sleeping receivers.

use std::{collections::HashMap, sync::Arc};

use crate::{
    abi::{
        ChannelFlags, ClientInfo, Errno, Pulse, PulseCode, Rcvid, Result, Scoid,
        limits::{CONNECTIONS_MAX, DIRECT_CONNECTIONS_MAX, PRIORITY_DEFAULT, PULSES_QUEUED_MAX},
    },
    channel::{
        attached::{Attached, InFlight},
        clients::Clients,
        ended::Ended,
        events::Receipts,
        leases::Leases,
        routed::RoutedPulses,
        sleepers::Sleeper,
        stats::Counts,
    },
    free_indices::FreeIndices,
    shm::{BellBit, Bells, Consumer},
    srr::{Delivery, Table, Want},
    sys::{
        clock,
        failpoint::{self, Failpoint},
    },
};

#[derive(Debug)]
pub(super) struct State {
    flags: ChannelFlags,
    pub(super) table: Table<InFlight>,
    pub(super) connections: Vec<Option<Connected>>,
    /// Where each of them stands there, by its [id](Attached::id).
    pub(super) indices: HashMap<u64, u32>,
    /// The places of the others, and how many connections there are.
    free: FreeIndices,
    clients: Clients,
    /// Messages that batches hold.
    pub(super) leases: Leases,
    pub(super) bells: Bells<u32>,
    pub(super) sleepers: Vec<Sleeper>,
    pub(super) counts: Counts,
    pub(super) ended: Arc<Ended>,
    /// On a router's channel: pulses for other nodes.
    pub(super) routed: RoutedPulses,
    /// Of pulses that events put into the queue.
    pub(super) receipts: Receipts,
    /// Connections to look at with the next drain without being told to: all of them outside ready-set
    /// mode, and in it those whose pulses fill their share.
    pub(super) looked_at: Vec<u32>,
    pub(super) closed: bool,
    /// More than one connection was seen: entries are stamped from then on.
    pub(super) stamped: bool,
    /// When the rings were last looked at, once entries are stamped.
    pub(super) looked_ns: u64,
    pub(super) uses_ready_set: bool,
    pub(super) sleepers_seen: u64,
    /// The connections a receiver looks at one by one; `None` in ready-set mode.
    direct: Option<Direct>,
    /// A handle on the same that a receiver gave back: to lend it costs no counting.
    direct_spare: Option<Direct>,
}

/// Connections that a receiver looks at without the lock.
pub(super) type Direct = Arc<[Arc<Attached>]>;

#[derive(Debug)]
pub(super) struct Connected {
    pub(super) attached: Arc<Attached>,
    pub(super) consumer: Consumer,
    bell: BellBit,
    /// The slots whose messages are in the table or in a lease. Bytes, not bits: to change one takes no look
    /// at what was changed just before.
    pub(super) busy: Box<[bool]>,
    /// Where in the table the message of each slot was put last, by arriving or by getting a receive id in a lease; it
    /// may have left it since.
    pub(super) places: Box<[u32]>,
    pub(super) pulses_queued: u32,
}

impl State {
    pub(super) fn new(flags: ChannelFlags, ended: Arc<Ended>) -> Result<State> {
        Ok(State {
            flags,
            table: Table::new(flags.contains(ChannelFlags::UNBLOCK)),
            connections: Vec::new(),
            indices: HashMap::new(),
            free: FreeIndices::default(),
            clients: Clients::default(),
            leases: Leases::default(),
            bells: Bells::new()?,
            sleepers: Vec::new(),
            counts: Counts::default(),
            ended,
            routed: RoutedPulses::default(),
            receipts: Receipts::default(),
            looked_at: Vec::new(),
            closed: false,
            stamped: false,
            looked_ns: 0,
            uses_ready_set: false,
            sleepers_seen: 0,
            direct: Some(Arc::new([])),
            direct_spare: None,
        })
    }

    /// Takes a connection in, which a process of user `ringer` rings for, whomever it speaks for. `make`
    /// builds it once its scoid is known.
    ///
    /// # Errors
    /// `ESRCH` for a channel that was destroyed meanwhile, `EAGAIN` at a limit.
    pub(super) fn add(
        &mut self,
        client: ClientInfo,
        ringer: u32,
        make: impl FnOnce(Scoid) -> Arc<Attached>,
    ) -> Result<(u32, BellBit)> {
        if self.closed {
            return Err(Errno::ESRCH);
        }
        // Clients that disconnected count until they are detached: a server that does not get round to
        // it is not to be filled up by one that comes and goes.
        if self.free.taken() >= CONNECTIONS_MAX || self.clients.count() >= CONNECTIONS_MAX {
            return Err(Errno::EAGAIN);
        }
        if self.keeps_too_many_pulses() {
            return Err(Errno::EAGAIN);
        }
        let bell = self.bells.give(ringer, self.free.lowest())?;
        let index = self.free.take();
        let attached = make(self.clients.enter(client));
        let slots = attached.region.layout().slots();
        let connected = Connected {
            attached,
            consumer: Consumer::default(),
            bell,
            busy: vec![false; slots as usize].into(),
            places: vec![0; slots as usize].into(),
            pulses_queued: 0,
        };
        self.indices.insert(connected.attached.id, index);
        match self.connections.get_mut(index as usize) {
            Some(place) => *place = Some(connected),
            None => self.connections.push(Some(connected)),
        }
        self.choose_modes();
        // Sleepers watch the words they knew of; a new doorbell is one more.
        self.wake_everybody();
        Ok((index, bell))
    }

    /// A connection's socket hung up: the client detached or died (CHN-3, DTH-2). Its messages go with
    /// it; the pulses it had sent still arrive (PLS-2).
    pub(super) fn remove(&mut self, index: u32) {
        if let Some(Some(connected)) = self.connections.get_mut(index as usize) {
            connected.pulses_queued = 0;
            self.drain_connection(index);
        }
        let Some(connected) = self.connections[index as usize].take() else {
            return;
        };
        self.free.give_back(index);
        self.indices.remove(&connected.attached.id);
        self.routed.leave(connected.attached.id);
        connected.attached.end();
        self.bells.take_back(connected.bell);
        self.ended.add_one();
        self.forget(index, &connected);
        self.leases.disturb(|run| run.index == index);
        self.looked_at.retain(|other| *other != index);
        if self.flags.contains(ChannelFlags::ROUTER) && !self.closed {
            self.tell_of_detach(&connected.attached);
        }
        self.client_lost_a_connection(connected.attached.scoid);
        self.choose_modes();
        // A ringer may have died between clearing the flag and waking: its wake-up is made good here.
        self.wake_everybody();
    }

    /// The messages of a connection that went are forgotten, whatever else is in the table.
    fn forget(&mut self, index: u32, connected: &Connected) {
        let busy = connected.busy.iter().zip(&connected.places).enumerate();
        for (slot, (_, at)) in busy.filter(|(_, (is_busy, _))| **is_busy) {
            if self.stands_at(*at, index, slot as u32).is_some() {
                self.table.forget(*at);
            }
        }
    }

    /// The message of a connection's slot, if it is the one at `at` in the table; else it is in a lease, which has not
    /// given it a receive id.
    pub(super) fn stands_at(&self, at: u32, index: u32, slot: u32) -> Option<&InFlight> {
        let message = self.table.message_at(at)?;
        ((message.index, message.entry.slot) == (index, slot)).then_some(message)
    }

    /// Destroys the channel: its connections are cut, its receivers get `ESRCH`.
    pub(super) fn close(&mut self) {
        self.closed = true;
        failpoint::pass(Failpoint::ChannelClosed);
        self.ended.add_one();
        self.table.forget_all();
        self.leases.disturb(|_| true);
        for connected in self.connections.iter().flatten() {
            connected.attached.cut();
        }
        self.wake_everybody();
    }

    pub(super) fn client_info(&self, scoid: Scoid) -> Result<ClientInfo> {
        self.clients.info(scoid)
    }

    pub(super) fn detach_client(&mut self, scoid: Scoid) -> Result<()> {
        if !self.clients.is_connected(scoid)? {
            self.clients.free(scoid);
            return Ok(());
        }
        for connected in self.connections.iter().flatten() {
            if connected.attached.scoid == scoid {
                connected.attached.cut();
            }
        }
        Ok(())
    }

    /// Whether a loop that waits from outside would find something. What lies in rings that are looked at one by one
    /// stays there: whoever takes it may take it straight.
    pub(super) fn finds_something(&mut self) -> bool {
        if !self.uses_ready_set && self.has_ready_ring() {
            return true;
        }
        self.drain();
        self.closed || self.table.has_any(Want::Anything) || self.routed.has_any()
    }

    /// The first of what waits for such a receiver.
    pub(super) fn receive(&mut self, want: Want) -> Option<Delivery> {
        self.settle(want);
        let delivery = self.table.receive(want)?;
        match &delivery {
            Delivery::Message(id) => {
                let (message, _) = self.table.blocked(*id).expect("invariant: just received");
                let entry = &message.entry;
                let attached = self.attached(message);
                attached.report_receipt(entry.flags, entry.slot, entry.generation);
                self.counts.messages += 1;
            }
            Delivery::Pulse(_, source) => {
                let connected = source.and_then(|i| self.connections.get_mut(i as usize)?.as_mut());
                if let Some(connected) = connected {
                    connected.pulses_queued = connected.pulses_queued.saturating_sub(1);
                }
                self.counts.pulses += 1;
                drop(source.and_then(|source| self.receipts.take(source)));
            }
        }
        Some(delivery)
    }

    /// Takes the message of a receive id out for the answer of whoever holds it: its slot may be used
    /// again. Answers what was written to its reply buffer so far.
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked.
    pub(super) fn answer(&mut self, id: Rcvid) -> Result<(u32, u32)> {
        let last = |message: &InFlight| (message.index, message.entry.slot, message.written);
        let (index, slot, written) = self.table.answer_with(id, last)?;
        if let Some(Some(connected)) = self.connections.get_mut(index as usize) {
            connected.vacate(slot);
        }
        self.counts.replies += 1;
        Ok(written)
    }

    /// As [`answer`](Self::answer), for who has nothing but the id.
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked.
    pub(super) fn answer_by_id(&mut self, id: Rcvid) -> Result<(Arc<Attached>, InFlight)> {
        let (attached, message) = self.blocked(id)?;
        // Somebody else may hold the message.
        self.ended.add_one();
        self.answer(id)?;
        Ok((attached, message))
    }

    /// The message of a receive id, and its connection.
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked.
    pub(super) fn blocked(&self, id: Rcvid) -> Result<(Arc<Attached>, InFlight)> {
        let (message, _) = self.table.blocked(id)?;
        Ok((Arc::clone(self.attached(message)), *message))
    }

    /// The connection of a message that is in the table.
    pub(super) fn attached(&self, message: &InFlight) -> &Arc<Attached> {
        let connected = self.connections[message.index as usize].as_ref();
        &connected
            .expect("invariant: a connection's messages go with it")
            .attached
    }

    /// Queues a pulse of this process or, unbounded, of the system.
    pub(super) fn queue_own_pulse(&mut self, pulse: Pulse, bounded: bool) -> Result<()> {
        if self.closed {
            return Err(Errno::ESRCH);
        }
        if bounded && self.table.pulses_queued() >= PULSES_QUEUED_MAX {
            return Err(Errno::EAGAIN);
        }
        let stamp = self.stamp();
        self.table.arrive_pulse(stamp, pulse, None);
        Ok(())
    }

    /// Lends the connections that a receiver looks at before it sleeps; `None` in ready-set mode.
    pub(super) fn lend_direct(&mut self) -> Option<Direct> {
        self.direct_spare.take().or_else(|| self.direct.clone())
    }

    /// Takes back what [`lend_direct`](Self::lend_direct) lent, for the next receiver.
    pub(super) fn give_back(&mut self, lent: Direct) {
        let is_current = |direct| Arc::ptr_eq(direct, &lent);
        if self.direct.as_ref().is_some_and(is_current) {
            self.direct_spare = Some(lent);
        }
    }

    /// The connection that the next message comes through, if there is only one.
    pub(super) fn only_connection(&self) -> Option<&Arc<Attached>> {
        match self.direct.as_deref() {
            Some([only]) => Some(only),
            _ => None,
        }
    }

    /// Connections there are.
    pub(super) fn connection_count(&self) -> usize {
        self.free.taken()
    }

    pub(super) fn release(&mut self, message: &InFlight) {
        if let Some(Some(connected)) = self.connections.get_mut(message.index as usize) {
            connected.vacate(message.entry.slot);
        }
    }

    /// The connection with this [id](Attached::id).
    pub(super) fn named(&self, id: u64) -> Option<&Connected> {
        let index = *self.indices.get(&id)?;
        self.connections.get(index as usize)?.as_ref()
    }

    /// A connection, if it is still up.
    pub(super) fn connected(&mut self, index: u32, attached: &Attached) -> Option<&mut Connected> {
        let connected = self.connections.get_mut(index as usize)?.as_mut()?;
        (connected.attached.id == attached.id).then_some(connected)
    }

    fn client_lost_a_connection(&mut self, scoid: Scoid) {
        if !self.clients.leave(scoid) {
            return;
        }
        if !self.flags.contains(ChannelFlags::DISCONNECT) || self.closed {
            self.clients.free(scoid);
            return;
        }
        let (code, priority) = (PulseCode::DISCONNECT, PRIORITY_DEFAULT);
        let stamp = self.stamp();
        self.table.arrive_pulse(
            stamp,
            Pulse {
                code,
                value: 0,
                priority,
                scoid,
            },
            None,
        );
    }

    pub(super) fn stamp(&self) -> u64 {
        if self.stamped {
            clock::monotonic_ns()
        } else {
            0
        }
    }

    /// Stamps stay on once two connections were seen, as an unstamped entry counts as older than all
    /// stamped ones.
    fn choose_modes(&mut self) {
        let used_ready_set = self.uses_ready_set;
        let count = self.free.taken();
        self.stamped |= count > 1;
        self.uses_ready_set = if self.uses_ready_set {
            count > DIRECT_CONNECTIONS_MAX / 2
        } else {
            count > DIRECT_CONNECTIONS_MAX
        };
        for bell in self.bells.iter() {
            bell.set_modes(self.uses_ready_set, self.stamped);
        }
        if self.uses_ready_set && used_ready_set {
            return;
        }
        // Also with the first ready set: whoever posted before it saw the new mode set no bit.
        let connections = self.connections.iter().enumerate();
        let (looked_at, attached): (Vec<u32>, Vec<Arc<Attached>>) = connections
            .filter_map(|(index, c)| Some((index as u32, Arc::clone(&c.as_ref()?.attached))))
            .unzip();
        self.looked_at = looked_at;
        self.direct = (!self.uses_ready_set).then(|| attached.into());
        self.direct_spare = None;
    }
}
