//! Events, on both sides of a channel: delivering one to a client that handed it over (PLS-5), and the
//! pulses that other servers' events put into a queue of this process.
//!
//! A server never says what is to happen, only which registered event: the client's library looks the
//! handle up in memory of its own. Deliveries that the client has not taken are counted per connection,
//! so that neither side can fill the other up.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, Ordering},
};

use crate::{
    abi::{Errno, EventHandle, Pulse, PulseCode, Rcvid, Result, limits::EVENTS_IN_FLIGHT_MAX},
    channel::{Channel, Inner, attached::Attached, message::ReceivedMessage, state::State},
    process::{Life, control::Record},
};

/// The way to one client connection for events, also long after the reply. Holding it keeps nothing
/// alive: once the connection has ended, deliveries are `ESRCH`.
#[derive(Clone, Debug)]
pub struct EventPort {
    attached: Weak<Attached>,
    connection_id: u64,
    process: Life,
}

impl EventPort {
    fn new(attached: &Arc<Attached>) -> EventPort {
        EventPort {
            connection_id: attached.id,
            attached: Arc::downgrade(attached),
            process: Life::current(),
        }
    }

    /// Notifies the client through an event that it registered on this connection. Never blocks, and
    /// says nothing of whether the client still knows the handle.
    ///
    /// # Errors
    /// `ESRCH` the connection has ended; `EAGAIN` the client has not taken
    /// [`EVENTS_IN_FLIGHT_MAX`] earlier deliveries.
    #[doc(alias = "MsgDeliverEvent")]
    pub fn deliver(&self, handle: EventHandle) -> Result<()> {
        let attached = self.attached.upgrade().ok_or(Errno::ESRCH)?;
        if !self.process.is_current() {
            return Err(Errno::ESRCH);
        }
        attached.deliver(handle)
    }

    /// Which connection it is; see [`ReceivedMessage::connection_id`].
    pub fn connection_id(&self) -> u64 {
        self.connection_id
    }
}

impl ReceivedMessage {
    /// Where the sender's events are delivered, for as long as its connection lives.
    pub fn event_port(&self) -> EventPort {
        EventPort::new(self.attached())
    }
}

impl Channel {
    /// As [`ReceivedMessage::event_port`], by receive id.
    ///
    /// # Errors
    /// `ESRCH` unless the client is REPLY-blocked.
    pub fn event_port(&self, id: Rcvid) -> Result<EventPort> {
        let state = self.0.lock_own()?;
        let (message, _) = state.table.blocked(id)?;
        Ok(EventPort::new(state.attached(message)))
    }

    /// As [`ReceivedMessage::event_port`], by [`ReceivedMessage::connection_id`].
    ///
    /// # Errors
    /// `ESRCH` when the connection has ended.
    pub fn event_port_of(&self, connection_id: u64) -> Result<EventPort> {
        let state = self.0.lock_own()?;
        let connected = state.named(connection_id).ok_or(Errno::ESRCH)?;
        Ok(EventPort::new(&connected.attached))
    }

    /// Delivers an event to the client of a message that waits for its reply; see
    /// [`EventPort::deliver`].
    ///
    /// # Errors
    /// Those of the two steps.
    #[doc(alias = "MsgDeliverEvent")]
    pub fn deliver_event(&self, id: Rcvid, handle: EventHandle) -> Result<()> {
        self.event_port(id)?.deliver(handle)
    }

    /// Where other connections' events put their pulses.
    pub(crate) fn pulse_target(&self) -> PulseTarget {
        PulseTarget(Arc::downgrade(&self.0))
    }
}

/// Deliveries on one connection that the client has not taken, as the server counts them.
#[derive(Debug, Default)]
pub(super) struct Window(AtomicU32);

impl Attached {
    fn deliver(&self, handle: EventHandle) -> Result<()> {
        let taken = |n: u32| (n < EVENTS_IN_FLIGHT_MAX).then_some(n + 1);
        let (order, count) = (Ordering::Relaxed, &self.events.0);
        if count.fetch_update(order, order, taken).is_err() {
            return Err(Errno::EAGAIN);
        }
        let record = Record::Event(handle).encode();
        self.socket.try_send(&record, &[]).map_err(|error| {
            // A client that reads nothing has a full socket before it has a full window.
            count.fetch_sub(1, order);
            match error {
                Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM => Errno::EAGAIN,
                _ => Errno::ESRCH,
            }
        })
    }

    /// # Errors
    /// `EBADMSG` for more than was delivered, which no honest client says.
    fn events_taken(&self, count: u32) -> Result<()> {
        let less = |n: u32| n.checked_sub(count);
        let order = Ordering::Relaxed;
        let outcome = self.events.0.fetch_update(order, order, less);
        outcome.map(drop).map_err(|_| Errno::EBADMSG)
    }
}

impl State {
    /// The client of connection `index` took `count` events.
    ///
    /// # Errors
    /// As [`Attached::events_taken`].
    pub(super) fn events_taken(&mut self, index: u32, count: u32) -> Result<()> {
        let Some(Some(connected)) = self.connections.get_mut(index as usize) else {
            return Ok(());
        };
        connected.attached.events_taken(count)?;
        // What a router delivered came from another node, and so goes this.
        let taken = Pulse {
            code: PulseCode::EVENTS_TAKEN,
            value: i64::from(count),
            priority: 0,
            scoid: connected.attached.scoid,
        };
        if self.routed.push(&connected.attached, taken) {
            self.wake_a_receiver();
        }
        Ok(())
    }
}

/// A channel of this process that events put pulses into. The channel may go meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct PulseTarget(Weak<Inner>);

/// Says, by being dropped, that a delivery was taken.
pub(crate) type Receipt = Box<dyn std::fmt::Debug + Send + Sync>;

impl PulseTarget {
    /// Queues a pulse; `receipt` is dropped when it is received, or at once if the channel has gone. The
    /// queue is not full for it: who delivers is bounded by receipts.
    pub(crate) fn post(&self, pulse: Pulse, receipt: Receipt) {
        let Some(channel) = self.0.upgrade() else {
            return;
        };
        let Ok(mut state) = channel.lock_own() else {
            return;
        };
        state.drain();
        if state.closed {
            return;
        }
        let source = state.receipts.keep(receipt);
        let stamp = state.stamp();
        state.table.arrive_pulse(stamp, pulse, Some(source));
        state.wake_a_receiver();
    }
}

/// The receipts of event pulses that wait in one channel's queue, by the source that the table is told.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    kept: Vec<Option<Receipt>>,
    free: Vec<u32>,
}

impl Receipts {
    /// Sources from here on are no connections.
    const FIRST_SOURCE: u32 = 1 << 31;

    fn keep(&mut self, receipt: Receipt) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.kept.push(None);
            self.kept.len() as u32 - 1
        });
        self.kept[index as usize] = Some(receipt);
        Receipts::FIRST_SOURCE + index
    }

    /// The receipt of a pulse from `source`, if that is an event.
    pub(super) fn take(&mut self, source: u32) -> Option<Receipt> {
        let index = source.checked_sub(Receipts::FIRST_SOURCE)?;
        let receipt = self.kept.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(receipt)
    }
}
