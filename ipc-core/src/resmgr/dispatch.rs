//! The receive loop: messages and pulses to the functions of the tables, by a pool of threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use zerocopy::FromBytes;

use super::binding::{Bindings, Departure, Key};
use super::messages::is_combined;
use super::{Context, IoFns, Ocb};
use crate::abi::io::{
    CONNECT_LEN_MAX, CONNECT_TYPE, IO_TYPE_FIRST, IO_TYPE_LAST, IoHeader, IoType, message_type,
};
use crate::abi::limits::PRIORITY_DEFAULT;
use crate::abi::{Errno, Pulse, PulseCode, Rcvid, Result, Scoid};
use crate::{Channel, Received, ReceivedMessage};

/// The pulse that wakes the loop so that it sees a stop; the highest an application may send.
const WAKE: PulseCode = PulseCode::MAX_AVAIL;

/// Bytes of a message that are read at once: every I/O header and most paths.
const FRONT_LEN: usize = 512;

/// Runs a resource manager's tables on a channel.
///
/// The channel is to have been created with [`DISCONNECT`](crate::abi::ChannelFlags::DISCONNECT):
/// without it the OCBs of clients that die stay open.
pub struct Dispatch<M: IoFns> {
    pub(super) manager: M,
    pub(super) bindings: Bindings<Ocb<M::State>>,
    threads: usize,
    serving: AtomicUsize,
    stopping: AtomicBool,
}

impl<M: IoFns> Dispatch<M> {
    /// A dispatch to `manager` with one thread.
    pub fn new(manager: M) -> Dispatch<M> {
        Dispatch {
            manager,
            bindings: Bindings::default(),
            threads: 1,
            serving: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// With this many threads, at least one.
    #[must_use]
    #[doc(alias = "thread_pool_create")]
    pub fn threads(mut self, count: usize) -> Dispatch<M> {
        self.threads = count.max(1);
        self
    }

    /// The manager whose functions are called.
    pub fn manager(&self) -> &M {
        &self.manager
    }

    /// Receives and handles until [`Dispatch::stop`], on the calling thread and those of the pool; then closes
    /// every OCB.
    ///
    /// # Errors
    /// The first thread's error of receiving, ESRCH when the channel is destroyed. EAGAIN where no thread can
    /// be started.
    ///
    /// # Panics
    /// If a function of the manager panics: all threads end then.
    #[doc(alias = "dispatch_block")]
    #[doc(alias = "thread_pool_start")]
    pub fn run(&self, channel: &Channel) -> Result<()> {
        let served = std::thread::scope(|scope| {
            for number in 1..self.threads {
                let builder = std::thread::Builder::new().name(format!("resmgr-{number}"));
                if let Err(error) = builder.spawn_scoped(scope, || self.serve(channel)) {
                    self.stop(channel)?;
                    return Err(Errno::of(&error));
                }
            }
            self.serve(channel)
        });
        for ocb in self.bindings.drain() {
            // Nobody is left to tell of an error.
            self.manager.close_ocb(&ocb).ok();
        }
        served
    }

    /// Makes [`Dispatch::run`] return when the messages being handled are done. From any thread; for good.
    ///
    /// # Errors
    /// Those of sending a pulse to the channel.
    pub fn stop(&self, channel: &Channel) -> Result<()> {
        self.stopping.store(true, Ordering::Release);
        channel.send_pulse(PRIORITY_DEFAULT, WAKE, 0)
    }

    fn serve(&self, channel: &Channel) -> Result<()> {
        let _leave = Leave::enter(self, channel);
        while !self.stopping.load(Ordering::Acquire) {
            match channel.receive() {
                Ok(received) => self.handle(channel, received),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Handles one message or pulse, for a manager with a receive loop of its own. Such a loop does not
    /// close the OCBs at its end, as [`Dispatch::run`] does.
    #[doc(alias = "dispatch_handler")]
    pub fn handle(&self, channel: &Channel, received: Received) {
        match received {
            Received::Message(message) => self.message(channel, message),
            Received::Pulse(pulse) => self.pulse(channel, &pulse),
        }
    }

    fn message(&self, channel: &Channel, message: ReceivedMessage) {
        let mut front = [0; FRONT_LEN];
        let count = match message.read(0, &mut front) {
            Ok(count) => count,
            // It went away between receive and here.
            Err(_) => return,
        };
        let front = &front[..count];
        match message_type(front) {
            Some(CONNECT_TYPE) => self.connect_message(channel, message, front),
            Some(IO_TYPE_FIRST..=IO_TYPE_LAST) => self.io_message(channel, message, front),
            _ => {
                let mut context = Context::new(channel, message);
                let outcome = self.manager.other(&mut context, front);
                context.finish(outcome).ok();
            }
        }
    }

    fn connect_message(&self, channel: &Channel, message: ReceivedMessage, front: &[u8]) {
        let len = message.len();
        if len > CONNECT_LEN_MAX {
            message.error(Errno::EMSGSIZE).ok();
            return;
        }
        let all = if len <= front.len() {
            Ok(Vec::new())
        } else {
            message.read_vec(0, len)
        };
        // An error: its client went away between receive and here.
        let Ok(all) = all else { return };
        let bytes = if all.is_empty() { front } else { &all };
        let context = Context::new(channel, message);
        self.opening(channel, context, |context| self.connect(context, bytes));
    }

    fn io_message(&self, channel: &Channel, message: ReceivedMessage, front: &[u8]) {
        let context = Context::new(channel, message);
        if may_bind(front) {
            self.opening(channel, context, |context| self.io(context, front));
        } else {
            self.io(context, front);
        }
    }

    /// Handles a message that may bind its connection, so that nothing stays bound if the client dies meanwhile.
    fn opening<'a>(
        &self,
        channel: &Channel,
        context: Context<'a>,
        handle: impl FnOnce(Context<'a>),
    ) {
        let scoid = context.info().scoid;
        self.bindings.begin_opening(scoid);
        handle(context);
        self.depart(channel, scoid, self.bindings.end_opening(scoid));
    }

    fn pulse(&self, channel: &Channel, pulse: &Pulse) {
        match pulse.code {
            PulseCode::DISCONNECT => {
                self.depart(channel, pulse.scoid, self.bindings.client_gone(pulse.scoid));
            }
            PulseCode::UNBLOCK => self.manager.unblock(Rcvid(pulse.value)),
            WAKE if self.stopping.load(Ordering::Acquire) => {}
            _ => self.manager.pulse(pulse),
        }
    }

    fn depart(&self, channel: &Channel, scoid: Scoid, departure: Departure<Ocb<M::State>>) {
        for ocb in departure.closed {
            // The client that would be told has gone.
            self.manager.close_ocb(&ocb).ok();
        }
        if departure.detach {
            channel.detach_client(scoid).ok();
        }
    }

    /// Binds a new OCB; the one that the connection had before is closed if nothing else has it.
    pub(super) fn bind(&self, key: Key, ocb: Arc<Ocb<M::State>>) {
        if let Some(former) = self.bindings.bind(key, ocb) {
            self.manager.close_ocb(&former).ok();
        }
    }

    /// Unbinds, and closes the OCB if this was its last binding.
    pub(super) fn unbind(&self, key: &Key) -> Result<()> {
        match self.bindings.unbind(key)? {
            Some(last) => self.manager.close_ocb(&last),
            None => Ok(()),
        }
    }
}

/// Whether an I/O message may bind its connection: a dup or openfd, or a chain, which may hold one. Only these
/// pay for the watch over a client that dies meanwhile.
fn may_bind(front: &[u8]) -> bool {
    let Ok((header, _)) = IoHeader::read_from_prefix(front) else {
        return false;
    };
    let binds = [IoType::Dup as u16, IoType::Openfd as u16].contains(&header.kind.get());
    binds || is_combined(front)
}

/// A thread's stay in the loop. When it ends, by a stop, an error or a panic, the other threads are to end too:
/// each that leaves wakes the next.
struct Leave<'a, M: IoFns> {
    dispatch: &'a Dispatch<M>,
    channel: &'a Channel,
}

impl<'a, M: IoFns> Leave<'a, M> {
    fn enter(dispatch: &'a Dispatch<M>, channel: &'a Channel) -> Leave<'a, M> {
        dispatch.serving.fetch_add(1, Ordering::AcqRel);
        Leave { dispatch, channel }
    }
}

impl<M: IoFns> Drop for Leave<'_, M> {
    fn drop(&mut self) {
        self.dispatch.stopping.store(true, Ordering::Release);
        if self.dispatch.serving.fetch_sub(1, Ordering::AcqRel) > 1 {
            // If the channel is gone, the others find out by themselves.
            self.channel.send_pulse(PRIORITY_DEFAULT, WAKE, 0).ok();
        }
    }
}
