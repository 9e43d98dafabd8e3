//! The server side: channels, receiving, replying, pulses.
//!
//! ```text
//! ring entries of all connections --drain--> srr::Table --receive--> ReceivedMessage --reply--> slot
//!                                    ^ one lock per channel; payload is copied outside of it
//! ```
//!
//! Authority lives here, in private memory: which receive ids exist, whose they are, with what bounds.
//! The one invariant: a slot of a connection is busy from the moment its entry is drained until its
//! answer is handed over, so a client cannot make the table grow by posting a slot twice.

mod accept;
mod apart;
mod attached;
mod batch;
mod batched;
mod cancel;
mod clients;
mod drain;
mod ended;
mod events;
#[cfg(all(test, not(loom)))]
mod hang_up_tests;
mod leases;
mod lobby;
mod message;
mod outside;
mod receive;
mod registry;
mod routed;
mod running;
mod sleepers;
#[cfg(all(test, loom))]
mod sleepers_wake_tests;
mod snapshot;
mod staging;
mod state;
mod stats;
mod taking;
#[cfg(test)]
mod test_client;
mod vectored;

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

pub use {
    apart::MessagesApart,
    batch::MessageBatch,
    batched::BatchedMessage,
    events::EventPort,
    message::ReceivedMessage,
    outside::Outside,
    receive::Received,
    registry::{claim_alias, retire},
    routed::RoutedPulse,
    running::{Following, following, forget_policy},
    snapshot::{BlockedThread, ChannelSnapshot, ProcessSnapshot, snapshot},
    staging::BatchReply,
};
pub(crate) use {events::PulseTarget, registry::coid_died};

use crate::{
    abi::{
        ChannelFlags, ChannelStats, Chid, ClientInfo, Errno, MessageInfo, Priority, Pulse,
        PulseCode, Rcvid, Result, Scoid,
    },
    channel::{ended::Ended, state::State, stats::Counters},
    process::Life,
    spin::Spin,
    srr::Want,
    sync::{Mutex, MutexGuard},
    sys::{clock, futex::Wake, thread},
};

/// A channel: where a server receives messages and pulses.
///
/// Many threads may receive on one channel, and any thread of the process may reply. Dropping it
/// destroys the channel: every blocked client gets `ESRCH`.
#[doc(alias = "ChannelCreate")]
#[derive(Debug)]
pub struct Channel(Arc<Inner>);

/// What the owner, the messages it received and the monitor share of one channel.
#[derive(Debug)]
pub(crate) struct Inner {
    chid: Chid,
    flags: ChannelFlags,
    /// Whose channel it is: a forked child has a copy of this memory and no part in the channel.
    process: Life,
    state: Mutex<State>,
    ended: Arc<Ended>,
    counters: Counters,
    spin: Spin,
}

impl Channel {
    /// Makes a channel; its id is the smallest free one of the process (CHN-1).
    ///
    /// # Errors
    /// `EAGAIN` when the process has [`crate::abi::limits::CHANNELS_MAX`]; what the runtime directory
    /// or the descriptor limit answers.
    pub fn create(flags: ChannelFlags) -> Result<Channel> {
        let ended = Arc::<Ended>::default();
        if flags.contains(ChannelFlags::THREAD_DEATH) {
            thread::at_thread_end(registry::thread_died);
        }
        let inner = registry::add(|chid| {
            Ok(Arc::new(Inner {
                chid,
                flags,
                process: Life::current(),
                state: Mutex::new(State::new(flags, Arc::clone(&ended))?),
                ended,
                counters: Counters::default(),
                spin: Spin::from_environment(),
            }))
        })?;
        Ok(Channel(inner))
    }

    /// The channel's id.
    pub fn chid(&self) -> Chid {
        self.0.chid
    }

    /// Waits for the next message or pulse: higher priority first, then first come (RCV-1).
    ///
    /// # Errors
    /// `EINTR` for a signal.
    #[doc(alias = "MsgReceive")]
    pub fn receive(&self) -> Result<Received> {
        receive::receive(&self.0, Want::Anything, None)
    }

    /// As [`receive`](Self::receive), for at most `timeout`; zero takes what is there (TMO-2).
    ///
    /// # Errors
    /// `ETIMEDOUT` when nothing came.
    pub fn receive_timeout(&self, timeout: Duration) -> Result<Received> {
        receive::receive(&self.0, Want::Anything, Some(clock::deadline_ns(timeout)))
    }

    /// Takes what is there without waiting.
    ///
    /// # Errors
    /// None that a live channel gives.
    pub fn try_receive(&self) -> Result<Option<Received>> {
        match receive::receive(&self.0, Want::Anything, Some(0)) {
            Ok(received) => Ok(Some(received)),
            Err(Errno::ETIMEDOUT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`try_receive`](Self::try_receive), for up to `max` messages and pulses, which are added to `into` in
    /// their order: one look at all clients serves them all. Answers how many came.
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive).
    pub fn try_receive_many(&self, max: usize, into: &mut Vec<Received>) -> Result<usize> {
        receive::receive_many(&self.0, max, into)
    }

    /// Answers many messages of this channel, each with its status, 0 or more, and no bytes; what was written
    /// to a reply buffer before is the reply. Clients are told when all answers are there. `answers` is empty
    /// afterwards. A client that gave up meanwhile is passed over.
    ///
    /// # Errors
    /// `EINVAL` when a status is negative or a message another channel's: nothing is answered then.
    #[doc(alias = "MsgReply")]
    pub fn reply_all(&self, answers: &mut Vec<(ReceivedMessage, i64)>) -> Result<()> {
        let mut wakes = Vec::new();
        let outcome = self.reply_all_quietly(answers, &mut wakes);
        for wake in wakes {
            wake.make();
        }
        outcome
    }

    /// As [`reply_all`](Self::reply_all), but leaves it to the caller to wake the clients that sleep: what is added
    /// to `wakes` must be made soon, for who has many to make, or a system call to make anyway.
    ///
    /// # Errors
    /// As [`reply_all`](Self::reply_all).
    pub fn reply_all_quietly(
        &self,
        answers: &mut Vec<(ReceivedMessage, i64)>,
        wakes: &mut Vec<Wake>,
    ) -> Result<()> {
        let is_sound =
            |(message, status): &(ReceivedMessage, i64)| *status >= 0 && message.is_of(&self.0);
        if !answers.iter().all(is_sound) {
            return Err(Errno::EINVAL);
        }
        message::reply_all(&self.0, answers, wakes);
        Ok(())
    }

    /// Waits for messages and takes as many as are there and `batch` holds, in the order in which
    /// [`receive`](Self::receive) would give them. A pulse whose turn it is comes alone, and `batch` is
    /// empty then. What `batch` still held unanswered fails with `EIO` first.
    ///
    /// # Errors
    /// `EINTR` for a signal.
    #[doc(alias = "MsgReceive")]
    pub fn receive_batch(&self, batch: &mut MessageBatch) -> Result<Option<Pulse>> {
        batch::receive(&self.0, batch, None)
    }

    /// As [`receive_batch`](Self::receive_batch), for at most `timeout`; zero takes what is there (TMO-2).
    ///
    /// # Errors
    /// `ETIMEDOUT` when nothing came.
    pub fn receive_batch_timeout(
        &self,
        batch: &mut MessageBatch,
        timeout: Duration,
    ) -> Result<Option<Pulse>> {
        batch::receive(&self.0, batch, Some(clock::deadline_ns(timeout)))
    }

    /// Takes short messages that are next in the order of receipt, of one connection and priority, if their senders want
    /// nothing but a status and they are [`crate::abi::limits::APART_MIN`] or more: for who has many of them under way at
    /// once. Answers whether there were any; what else is there, the other ways of receiving bring. What `apart` still
    /// held unanswered fails with `EIO` first. Never waits.
    ///
    /// # Errors
    /// As [`try_receive`](Self::try_receive).
    pub fn try_receive_apart(&self, apart: &mut MessagesApart) -> Result<bool> {
        apart::receive(&self.0, apart)
    }

    /// Waits for the next pulse; messages pass over the waiting thread (RCV-4).
    ///
    /// # Errors
    /// `EINTR` for a signal.
    #[doc(alias = "MsgReceivePulse")]
    pub fn receive_pulse(&self) -> Result<Pulse> {
        match receive::receive(&self.0, Want::Pulse, None)? {
            Received::Pulse(pulse) => Ok(pulse),
            Received::Message(_) => unreachable!("invariant: a pulse was wanted"),
        }
    }

    /// As [`receive_pulse`](Self::receive_pulse), for at most `timeout` (TMO-2).
    ///
    /// # Errors
    /// `ETIMEDOUT` when none came.
    pub fn receive_pulse_timeout(&self, timeout: Duration) -> Result<Pulse> {
        let deadline_ns = clock::deadline_ns(timeout);
        match receive::receive(&self.0, Want::Pulse, Some(deadline_ns))? {
            Received::Pulse(pulse) => Ok(pulse),
            Received::Message(_) => unreachable!("invariant: a pulse was wanted"),
        }
    }

    /// Sends a pulse to this channel from within its process; never blocks.
    ///
    /// # Errors
    /// `EAGAIN` when [`crate::abi::limits::PULSES_QUEUED_MAX`] wait already.
    pub fn send_pulse(&self, priority: Priority, code: PulseCode, value: i64) -> Result<()> {
        self.0.post_own_pulse(
            Pulse {
                code,
                value,
                priority,
                scoid: Scoid(0),
            },
            true,
        )
    }

    /// Who stands behind `scoid`.
    ///
    /// # Errors
    /// `EINVAL` when no client has that id, `ESRCH` in a forked child.
    #[doc(alias = "ConnectClientInfo")]
    pub fn client_info(&self, scoid: Scoid) -> Result<ClientInfo> {
        self.0.lock_own()?.client_info(scoid)
    }

    /// Gives up `scoid`: after DISCONNECT it may be used again; a client that is still connected is
    /// cut off.
    ///
    /// # Errors
    /// `EINVAL` when no client has that id, `ESRCH` in a forked child.
    #[doc(alias = "ConnectDetach")]
    pub fn detach_client(&self, scoid: Scoid) -> Result<()> {
        self.0.lock_own()?.detach_client(scoid)
    }

    /// Hangs up on one connection, as if the channel were destroyed for it alone: its client's blocked
    /// sends end in `ESRCH`. For a router whose client's server has gone; no effect once it has ended, nor in a
    /// forked child.
    pub fn cut_connection(&self, connection_id: u64) {
        if let Ok(state) = self.0.lock_own() {
            state.cut(connection_id);
        }
    }

    /// Answers a message by its receive id; see [`ReceivedMessage::reply`].
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked; `EINVAL` for a negative status.
    #[doc(alias = "MsgReply")]
    pub fn reply(&self, id: Rcvid, status: i64, bytes: &[u8]) -> Result<()> {
        message::reply(&self.0, id, status, bytes)
    }

    /// Fails a message by its receive id; see [`ReceivedMessage::error`].
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked.
    #[doc(alias = "MsgError")]
    pub fn error(&self, id: Rcvid, errno: Errno) -> Result<()> {
        message::error(&self.0, id, errno)
    }

    /// Reads from a message by its receive id; see [`ReceivedMessage::read`].
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked.
    #[doc(alias = "MsgRead")]
    pub fn read(&self, id: Rcvid, offset: usize, into: &mut [u8]) -> Result<usize> {
        message::read(&self.0, id, offset, into)
    }

    /// Writes to a reply buffer by receive id; see [`ReceivedMessage::write`].
    ///
    /// # Errors
    /// `ESRCH` unless the client is REPLY-blocked.
    #[doc(alias = "MsgWrite")]
    pub fn write(&self, id: Rcvid, offset: usize, bytes: &[u8]) -> Result<usize> {
        message::write(&self.0, id, offset, bytes)
    }

    /// The info structure of a message that waits for its reply (RPL-5).
    ///
    /// # Errors
    /// `ESRCH` unless its client is REPLY-blocked.
    #[doc(alias = "MsgInfo")]
    pub fn info(&self, id: Rcvid) -> Result<MessageInfo> {
        message::info(&self.0, id)
    }

    /// The channel as an event loop sees it: words to wait on, and when to look.
    pub fn outside(&self) -> Outside<'_> {
        Outside::new(&self.0)
    }

    /// What happened on this channel so far: nothing, in a forked child.
    pub fn stats(&self) -> ChannelStats {
        let state = self.0.lock_own();
        state.map_or_else(
            |_| ChannelStats::default(),
            |state| state.counts.with(&self.0.counters),
        )
    }

    /// How long receivers look before they sleep.
    pub fn set_spin(&self, policy: crate::spin::SpinPolicy) {
        self.0.spin.set(policy);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if self.0.process.is_current() {
            registry::remove(self.0.chid);
            self.0.close();
        }
    }
}

impl Inner {
    pub(crate) fn flags(&self) -> ChannelFlags {
        self.flags
    }

    /// For a thread of the process whose channel it is: a forked child inherits the lock as some thread of its
    /// parent held it.
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a broken invariant of ours; the state is still the best we have.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// `ESRCH` in a forked child, where the clients' memory is not mapped.
    fn check_own(&self) -> Result<()> {
        if self.process.is_current() {
            Ok(())
        } else {
            Err(Errno::ESRCH)
        }
    }

    /// As [`lock`](Self::lock), for what touches a client or its memory; errors as
    /// [`check_own`](Self::check_own).
    fn lock_own(&self) -> Result<MutexGuard<'_, State>> {
        self.check_own()?;
        Ok(self.lock())
    }

    /// Queues a pulse of this process; one of the system is never refused (PLS-4).
    fn post_own_pulse(&self, pulse: Pulse, bounded: bool) -> Result<()> {
        let mut state = self.lock_own()?;
        state.drain();
        state.queue_own_pulse(pulse, bounded)?;
        state.wake_a_receiver();
        Ok(())
    }

    /// Destroys the channel (CHN-1).
    fn close(&self) {
        self.lock().close();
    }
}
