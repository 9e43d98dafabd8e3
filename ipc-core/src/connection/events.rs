//! Events that this process registered on a connection, and what happens when its server delivers one
//! (PLS-5).
//!
//! The server holds a number; what it stands for is in private memory here. A server can trigger what was
//! registered for it, as often as the deliveries that were not taken yet allow, and nothing else.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use nix::sys::signal::{self, Signal};

use crate::{
    abi::{
        Errno, EventHandle, Priority, Pulse, PulseCode, Result,
        limits::{EVENTS_IN_FLIGHT_MAX, EVENTS_REGISTERED_MAX, EVENTS_TAKEN_EVERY},
    },
    channel::{Channel, PulseTarget},
    connection::{Connection, link::Link},
    process::control::Record,
    srr::Wish,
    sys::mutex::lock,
};

/// What is to happen in this process when a server delivers the event.
#[derive(Clone, Debug)]
#[doc(alias = "sigevent")]
pub struct Event(Action);

#[derive(Clone, Debug)]
enum Action {
    Pulse {
        target: PulseTarget,
        pulse: (Priority, PulseCode, i64),
    },
    Unblock(Weak<Link>),
    Signal(Signal),
}

impl Event {
    /// A pulse in the queue of `channel`, which belongs to this process. Its `scoid` is what the server
    /// calls this process on the connection that the event comes through. Nothing happens once the
    /// channel is destroyed.
    ///
    /// # Errors
    /// `EINVAL` for a code of the system.
    #[doc(alias = "SIGEV_PULSE_INIT")]
    pub fn pulse(
        channel: &Channel,
        priority: Priority,
        code: PulseCode,
        value: i64,
    ) -> Result<Event> {
        if !code.is_application() {
            return Err(Errno::EINVAL);
        }
        let target = channel.pulse_target();
        let pulse = (priority, code, value);
        Ok(Event(Action::Pulse { target, pulse }))
    }

    /// Every thread that is blocked in a send on `connection` wants out, as after a signal: a
    /// SEND-blocked one returns `EINTR`, a REPLY-blocked one too unless its channel keeps it until it is
    /// answered (CHN-2). (Neutrino unblocks one thread, whatever it waits for.)
    #[doc(alias = "SIGEV_UNBLOCK_INIT")]
    pub fn unblock(connection: &Connection) -> Event {
        Event(Action::Unblock(Arc::downgrade(connection.link())))
    }

    /// A signal to this process, as from `kill`.
    ///
    /// # Errors
    /// `EINVAL` for a number that is no signal.
    #[doc(alias = "SIGEV_SIGNAL_INIT")]
    pub fn signal(number: i32) -> Result<Event> {
        let signal = Signal::try_from(number).map_err(|_| Errno::EINVAL)?;
        Ok(Event(Action::Signal(signal)))
    }

    fn happen(&self, link: &Link, receipt: EventReceipt) {
        match &self.0 {
            Action::Pulse { target, pulse } => {
                let (priority, code, value) = *pulse;
                let scoid = link.info.scoid;
                let pulse = Pulse {
                    code,
                    value,
                    priority,
                    scoid,
                };
                target.post(pulse, Box::new(receipt));
            }
            Action::Unblock(on) => {
                if let Some(link) = on.upgrade() {
                    link.unblock_senders();
                }
            }
            // Fails for no signal that exists: this process may signal itself.
            Action::Signal(signal) => drop(signal::kill(nix::unistd::Pid::this(), *signal)),
        }
    }
}

/// A delivery that was not taken yet. Dropping it takes it, and makes room for another one.
#[derive(Debug)]
pub struct EventReceipt(Weak<Link>);

impl Drop for EventReceipt {
    fn drop(&mut self) {
        if let Some(link) = self.0.upgrade()
            && link.is_of_this_process()
        {
            link.event_taken();
        }
    }
}

/// What is called for every event of a connection that speaks for another process.
pub type EventForwarder = Box<dyn Fn(EventHandle, EventReceipt) + Send + Sync>;

/// The events of one connection. Nothing is allocated before the first is registered.
#[derive(Default)]
pub(super) struct Events(Mutex<Table>);

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    forwarder: Option<Arc<EventForwarder>>,
    /// Deliveries whose receipts are not dropped.
    open: u32,
    /// Deliveries that were taken, and the server not told.
    untold: u32,
}

struct Slot {
    generation: u32,
    event: Option<Event>,
}

enum Taker {
    Event(Event),
    Forwarder(Arc<EventForwarder>),
    Nobody,
}

impl Connection {
    /// Registers an event on this connection. The handle is for the server: it goes there in a message,
    /// and lets the server make the event happen, any number of times, also long after the reply, until
    /// it is [taken back](Self::unregister_event) or the connection ends.
    ///
    /// # Errors
    /// `EBADF` the connection is not live; `EAGAIN` more than [`EVENTS_REGISTERED_MAX`].
    #[doc(alias = "MsgRegisterEvent")]
    pub fn register_event(&self, event: Event) -> Result<EventHandle> {
        let link = self.link();
        link.check_live()?;
        link.events.table().register(event)
    }

    /// Takes an event back: from now on the server's deliveries of it do nothing.
    ///
    /// # Errors
    /// `EINVAL` for a handle that is not registered on this connection, `EBADF` in a forked child.
    #[doc(alias = "MsgUnregisterEvent")]
    pub fn unregister_event(&self, handle: EventHandle) -> Result<()> {
        let link = self.link();
        if !link.is_of_this_process() {
            return Err(Errno::EBADF);
        }
        link.events.table().unregister(handle)
    }

    /// Has `forwarder` called for every event that the server delivers, on the monitor thread, where it
    /// must not block: for a connection that [speaks for](crate::SpeaksFor) a process elsewhere, which
    /// knows what the handles stand for.
    pub fn forward_events(&self, forwarder: EventForwarder) {
        if self.link().is_of_this_process() {
            self.link().events.table().forwarder = Some(Arc::new(forwarder));
        }
    }
}

impl Events {
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0)
    }
}

impl Link {
    /// Handles a record that the server sent; `false` for one that no honest server sends.
    pub(super) fn server_says(self: &Arc<Link>, record: &[u8]) -> bool {
        let Ok(Record::Event(handle)) = Record::parse(record) else {
            return false;
        };
        let taker = {
            let mut table = self.events.table();
            if table.open + table.untold >= EVENTS_IN_FLIGHT_MAX {
                return false;
            }
            table.open += 1;
            table.taker(handle)
        };
        let receipt = EventReceipt(Arc::downgrade(self));
        match taker {
            Taker::Event(event) => event.happen(self, receipt),
            Taker::Forwarder(forward) => {
                // Its panic was reported; the monitor thread has other connections to see to.
                let forward = AssertUnwindSafe(|| forward(handle, receipt));
                let _ = catch_unwind(forward);
            }
            Taker::Nobody => drop(receipt),
        }
        true
    }

    /// Tells the server's process that every sender which is blocked on this connection wants out.
    fn unblock_senders(&self) {
        for (slot, generation) in self.posting().in_flight() {
            // A server that hung up meanwhile ends their wait by itself.
            let _ = self.cancel(slot, generation, Wish::Both);
        }
    }

    fn event_taken(&self) {
        let mut table = self.events.table();
        table.open -= 1;
        table.untold += 1;
        let is_time = table.untold >= EVENTS_TAKEN_EVERY;
        drop(table);
        if is_time && self.check_live().is_ok() {
            self.tell_events_taken();
        }
    }

    /// Tells the server's process what was taken since it was last told, now or as soon as it listens.
    pub(super) fn tell_events_taken(&self) {
        let mut table = self.events.table();
        if table.untold == 0 {
            return;
        }
        let record = Record::EventsTaken(table.untold).encode();
        // Under the lock, so that the server never hears of more than it delivered.
        let told = self.tell_server(&record);
        if told.is_ok() {
            table.untold = 0;
        }
        drop(table);
        if told == Err(Errno::EAGAIN) {
            self.tell_events_taken_later();
        }
    }
}

impl Table {
    fn register(&mut self, event: Event) -> Result<EventHandle> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < EVENTS_REGISTERED_MAX => {
                let generation = 0;
                self.slots.push(Slot {
                    generation,
                    event: None,
                });
                self.slots.len() as u32 - 1
            }
            None => return Err(Errno::EAGAIN),
        };
        let slot = &mut self.slots[index as usize];
        slot.event = Some(event);
        Ok(EventHandle(
            u64::from(slot.generation) << 32 | u64::from(index + 1),
        ))
    }

    fn unregister(&mut self, handle: EventHandle) -> Result<()> {
        let index = self.index(handle).ok_or(Errno::EINVAL)?;
        let slot = &mut self.slots[index];
        slot.event = None;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index as u32);
        Ok(())
    }

    fn taker(&self, handle: EventHandle) -> Taker {
        if let Some(forwarder) = &self.forwarder {
            return Taker::Forwarder(Arc::clone(forwarder));
        }
        let event = self
            .index(handle)
            .and_then(|index| self.slots[index].event.clone());
        event.map_or(Taker::Nobody, Taker::Event)
    }

    /// Where a live handle's event is.
    fn index(&self, handle: EventHandle) -> Option<usize> {
        let index = (handle.0 as u32).checked_sub(1)? as usize;
        let slot = self.slots.get(index)?;
        let is_live = u64::from(slot.generation) == handle.0 >> 32 && slot.event.is_some();
        is_live.then_some(index)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        let registered = table.slots.len() - table.free.len();
        f.debug_struct("Events")
            .field("registered", &registered)
            .field("open", &table.open)
            .finish()
    }
}
