//! Pipelines: one thread keeps many messages in flight on a connection that is its alone.
//!
//! ```text
//! submit -> lane (slot, arena blocks) -> entry ... flush -> doorbell ... next <- the oldest lane's slot
//! ```
//!
//! What a message costs elsewhere, it shares here: nobody else posts on the connection, so there is no lock;
//! lanes are set up once; entries are handed over some at a time, and the doorbell is rung once for all that
//! was submitted since; and replies are taken in the order of sending, so that only the slot whose turn it is
//! has to be looked at. The one invariant: lanes `collected..submitted`, modulo their number, are the
//! server's; all others are ours.

use std::time::Duration;

use crate::{
    abi::{
        Coid, Errno, Priority, PulseCode, Result, ServerInfo,
        limits::{PIPELINE_DEPTH_DEFAULT, PIPELINE_RUN},
    },
    connection::{
        Connection, Reply,
        link::Link,
        posting::{Ticket, following},
        priority,
        send::{outcome, read_reply, reply_of},
    },
    shm::{Claim, Completion, EntryFlags, MessageEntry, Producer, SlotState, Waited},
    spin::SpinPolicy,
    srr::Wish,
    sys::{clock, thread},
};

/// Many messages in flight from one thread, answered in the order in which they were submitted.
///
/// The server may answer in any order; replies come out in the order of sending all the same. Where they
/// must not wait for one another, or come from several connections, take a
/// [`CompletionQueue`](crate::CompletionQueue). Dropping a pipeline detaches its connection.
///
/// ```
/// use ipc_core::{AttachOptions, Channel, Connection, MessageBatch, Pipeline, PipelineOptions};
/// use ipc_core::abi::{ChannelFlags, Nd, Pid};
///
/// let channel = Channel::create(ChannelFlags::empty())?;
/// let chid = channel.chid();
/// std::thread::spawn(move || -> ipc_core::abi::Result<()> {
///     let mut batch = MessageBatch::with_capacity(64);
///     loop {
///         channel.receive_batch(&mut batch)?;
///         batch.reply_each(|message, reply| {
///             let mut number = [0; 8];
///             message.read(0, &mut number)?;
///             reply.append(&(u64::from_ne_bytes(number) * 2).to_ne_bytes());
///             Ok(0)
///         })?;
///     }
/// });
///
/// let options = PipelineOptions { depth: 64, len_max: 8, reply_len_max: 8 };
/// let attach = AttachOptions { slots: options.depth, ..AttachOptions::default() };
/// let connection = Connection::attach_with(Nd::LOCAL, Pid::SELF, chid, &attach)?;
/// let mut pipeline = Pipeline::new(connection, &options)?;
/// for number in 0..64_u64 {
///     pipeline.submit(&number.to_ne_bytes())?;
/// }
/// while pipeline.in_flight() > 0 {
///     let answer = pipeline.next(None)?;
///     let (number, mut twice) = (answer.number, [0; 8]);
///     answer.result?.read(0, &mut twice);
///     assert_eq!(u64::from_ne_bytes(twice), 2 * number);
/// }
/// # Ok::<(), ipc_core::abi::Errno>(())
/// ```
#[derive(Debug)]
pub struct Pipeline {
    connection: Connection,
    producer: Producer,
    /// What changes of a lane with every message.
    lanes: Box<[Lane]>,
    /// What the lanes were reserved with. Generations are those of [`lanes`](Self::lanes), and are brought up
    /// to date where a ticket is used.
    tickets: Box<[Ticket]>,
    /// How all messages travel.
    flags: EntryFlags,
    len_max: usize,
    reply_len_max: usize,
    /// Messages submitted, and replies taken, since the beginning.
    submitted: u64,
    collected: u64,
    /// The lanes of the next message and of the next reply.
    submit_at: usize,
    collect_at: usize,
    /// Entries that were written and not handed over.
    unpublished: u32,
    /// Something was submitted that the server was not told of.
    unrung: bool,
}

/// The right to one message in flight: of a ticket, what the next message changes.
#[derive(Clone, Copy, Debug)]
struct Lane {
    slot: u32,
    generation: u32,
}

/// What a pipeline sets aside when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipelineOptions {
    /// Messages in flight at once, from 1 to the slots of the connection.
    pub depth: u32,
    /// Bytes of the longest message, up to [`crate::abi::limits::MSG_LEN_MAX`].
    pub len_max: usize,
    /// Bytes of the longest reply, up to the same. Messages of up to 80 bytes and replies of up to 96 take
    /// no room in the arena; what is longer takes `depth` times its length for as long as the pipeline lives.
    pub reply_len_max: usize,
}

/// The answer to one message of a pipeline.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The message's number, as [`Pipeline::submit`] gave it.
    pub number: u64,
    /// The reply, or why there is none; errors are those of a send, and `ERESTART` from a server that wants
    /// the message sent again.
    pub result: Result<PipelinedReply<'a>>,
}

/// A reply where the server put it, until the pipeline goes on.
#[derive(Debug)]
pub struct PipelinedReply<'a> {
    link: &'a Link,
    ticket: &'a Ticket,
    slot: u32,
    is_inline: bool,
    completion: Completion,
}

/// Entries ahead of the one that is written whose lines are asked for.
const WRITE_AHEAD: u32 = 8;

/// Slots ahead of the one that is read whose lines are asked for.
const READ_AHEAD: usize = 8;

/// Neither message nor reply takes room in the arena.
const TRAVELS_INLINE: EntryFlags = EntryFlags::INLINE.union(EntryFlags::REPLY_INLINE);

impl Default for PipelineOptions {
    fn default() -> PipelineOptions {
        PipelineOptions {
            depth: PIPELINE_DEPTH_DEFAULT,
            len_max: crate::shm::INLINE_MAX,
            reply_len_max: crate::shm::REPLY_INLINE_MAX,
        }
    }
}

impl Pipeline {
    /// Makes a connection a pipeline. Its slots and arena must have room for `depth` messages and replies
    /// of the lengths in `options`: see [`AttachOptions::slots`](crate::AttachOptions::slots).
    ///
    /// # Errors
    /// `EINVAL` for a depth of 0 or more than the connection's slots; `EMSGSIZE` for lengths that can never
    /// be had; `EAGAIN` when loans or messages in flight hold what is missing; `EBADF` for a connection that
    /// has ended. The connection is detached then.
    pub fn new(connection: Connection, options: &PipelineOptions) -> Result<Pipeline> {
        let link = &connection.0;
        if options.depth == 0 || options.depth > link.region.layout().slots() {
            return Err(Errno::EINVAL);
        }
        let tickets: Result<Box<[Ticket]>> = (0..options.depth)
            .map(|_| link.reserve(options.len_max, options.reply_len_max, false, None))
            .collect();
        let tickets = tickets?;
        let producer = link.take_producer();
        Ok(Pipeline {
            producer,
            lanes: tickets.iter().map(Lane::of).collect(),
            flags: tickets[0].flags(),
            tickets,
            len_max: options.len_max,
            reply_len_max: options.reply_len_max,
            submitted: 0,
            collected: 0,
            submit_at: 0,
            collect_at: 0,
            unpublished: 0,
            unrung: false,
            connection,
        })
    }

    /// Messages that were submitted and whose answers were not taken yet.
    #[inline]
    pub fn in_flight(&self) -> usize {
        (self.submitted - self.collected) as usize
    }

    /// Messages that can be in flight at once.
    pub fn depth(&self) -> usize {
        self.lanes.len()
    }

    /// Sends `message` without waiting, and answers its number: 0, 1, 2 and so on. The server is told by
    /// the next [`flush`](Self::flush), or when this thread waits; one that looks may find it before, but
    /// need not: messages are handed over [`PIPELINE_RUN`] at a time.
    ///
    /// # Errors
    /// `EAGAIN` when as many as [`depth`](Self::depth) are in flight; `EMSGSIZE` longer than was set aside;
    /// `EBADF` the connection has ended.
    #[inline]
    pub fn submit(&mut self, message: &[u8]) -> Result<u64> {
        let link = &self.connection.0;
        link.check_live()?;
        if self.in_flight() == self.lanes.len() {
            return Err(Errno::EAGAIN);
        }
        if message.len() > self.len_max {
            return Err(Errno::EMSGSIZE);
        }
        let lane = &mut self.lanes[self.submit_at];
        lane.generation = following(lane.generation);
        let mut entry = MessageEntry {
            flags: self.flags,
            priority: priority::priority(),
            slot: lane.slot,
            generation: lane.generation,
            tid: thread::current_tid(),
            stamp_ns: link.stamp(),
            len: message.len() as u32,
            reply_len: self.reply_len_max as u32,
            message: Claim::default(),
            reply: Claim::default(),
        };
        let mut inline = message;
        if !self.flags.contains(TRAVELS_INLINE) {
            let ticket = &mut self.tickets[self.submit_at];
            ticket.len = message.len();
            entry.reply = link.reply_claim(ticket).unwrap_or_default();
            if let Some(claim) = link.message_claim(ticket) {
                entry.message = claim;
                link.region.write(claim, 0, message);
                inline = &[];
            }
        }
        let ahead = self.producer.tail().wrapping_add(WRITE_AHEAD);
        link.region.lines().will_write_entry(ahead);
        self.producer.write_message(&link.region, &entry, inline);
        let number = self.submitted;
        self.submitted += 1;
        self.submit_at = next_lane(self.submit_at, self.lanes.len());
        self.unpublished += 1;
        self.unrung = true;
        if self.unpublished == PIPELINE_RUN {
            self.publish();
        }
        Ok(number)
    }

    /// Hands over what was written.
    #[inline]
    fn publish(&mut self) {
        let count = std::mem::take(&mut self.unpublished);
        self.producer.publish(&self.connection.0.region, count);
    }

    /// Tells the server of everything submitted so far. Whoever submits and then does something else for a
    /// while calls it; waiting does it by itself.
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.unrung) && self.connection.0.is_of_this_process() {
            self.publish();
            self.connection.0.ring();
        }
    }

    /// Whether the oldest message in flight is answered, or lost with the connection.
    #[inline]
    pub fn is_ready(&self) -> bool {
        let (link, lane) = (&self.connection.0, self.lanes[self.collect_at]);
        self.in_flight() > 0
            && link.is_of_this_process()
            && (link.region.is_done(lane.slot, lane.generation) || link.has_ended())
    }

    /// The answer to the oldest message in flight, if it is there.
    #[inline]
    pub fn try_next(&mut self) -> Option<Answered<'_>> {
        if self.in_flight() == 0 || !self.connection.0.is_of_this_process() {
            return None;
        }
        let (number, at) = (self.collected, self.collect_at);
        let lane = self.lanes[at];
        let is_done = (self.connection.0.region).is_done(lane.slot, lane.generation);
        if !is_done && !self.connection.0.has_ended() {
            self.publish();
            return None;
        }
        let (link, ticket) = (&*self.connection.0, &self.tickets[at]);
        if let Some(ahead) = self.lanes.get(at + READ_AHEAD) {
            link.region.lines().will_read_slot(ahead.slot);
        }
        let outcome = if is_done {
            let completion = link.region.completion(lane.slot);
            outcome(completion, self.reply_len_max, Some(Errno::EINTR))
        } else {
            Err(link.end_error())
        };
        self.collected += 1;
        self.collect_at = next_lane(at, self.lanes.len());
        let result = outcome.map(|completion| PipelinedReply {
            link,
            ticket,
            slot: lane.slot,
            is_inline: self.flags.contains(EntryFlags::REPLY_INLINE),
            completion,
        });
        Some(Answered { number, result })
    }

    /// Waits for the answer to the oldest message in flight.
    ///
    /// # Errors
    /// `EINVAL` when nothing is in flight, `ETIMEDOUT` after `timeout`, `EINTR` for a signal, `EBADF` in a
    /// forked child. Why a message failed stands in [`Answered::result`].
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Answered<'_>> {
        self.wait(timeout)?;
        self.try_next().ok_or(Errno::EBADF)
    }

    /// Waits until [`try_next`](Self::try_next) has something; errors as [`next`](Self::next).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        if self.in_flight() == 0 {
            return Err(Errno::EINVAL);
        }
        self.flush();
        if self.is_ready() {
            return Ok(());
        }
        let link = &self.connection.0;
        if !link.is_of_this_process() {
            return Err(Errno::EBADF);
        }
        self.tickets[self.collect_at].generation = self.lanes[self.collect_at].generation;
        let ticket = &self.tickets[self.collect_at];
        let deadline_ns = timeout.map(clock::deadline_ns);
        let mut known = SlotState::Waiting;
        if let Some(budget) = link.spin.budget() {
            link.spin.look(budget, || link.is_over(ticket));
        }
        while !link.is_over(ticket) {
            if let Waited::Moved(state) = link.sleep(ticket, known, deadline_ns)? {
                known = state;
            }
            // A server that changes the words all the time keeps its client from sleeping, and no more.
            let is_late = deadline_ns.is_some_and(|deadline| deadline <= clock::monotonic_ns());
            if is_late && !link.is_over(ticket) {
                return Err(Errno::ETIMEDOUT);
            }
        }
        Ok(())
    }

    /// Tells the server that message `number` is no longer wanted: while SEND-blocked it is withdrawn, while
    /// REPLY-blocked given up or announced (CHN-2). Its turn still comes: `EINTR`, or the server's answer.
    ///
    /// # Errors
    /// `ESRCH` when no such message is in flight, `EBADF`.
    pub fn unblock(&mut self, number: u64) -> Result<()> {
        self.connection.0.check_live()?;
        if !(self.collected..self.submitted).contains(&number) {
            return Err(Errno::ESRCH);
        }
        // What the server does not know of, it cannot let go of.
        self.publish();
        let ahead = (number - self.collected) as usize;
        let lane = self.lanes[(self.collect_at + ahead) % self.lanes.len()];
        self.connection
            .0
            .cancel(lane.slot, lane.generation, Wish::Both)
    }

    /// Sends a pulse, behind everything submitted so far; see [`Connection::send_pulse`].
    ///
    /// # Errors
    /// As there.
    pub fn send_pulse(
        &mut self,
        priority: Option<Priority>,
        code: PulseCode,
        value: i64,
    ) -> Result<()> {
        let link = &self.connection.0;
        link.check_pulse(code)?;
        let entry = link.pulse_entry(priority.unwrap_or_else(priority::priority), code, value);
        self.publish();
        let link = &self.connection.0;
        self.producer.post_pulse(&link.region, &entry)?;
        self.unrung = false;
        link.ring();
        Ok(())
    }

    /// Makes the pipeline a connection again, which any number of threads may use. The answers to messages
    /// that are still in flight are thrown away when they come.
    pub fn into_connection(mut self) -> Connection {
        self.flush();
        let (depth, in_flight) = (self.lanes.len(), self.in_flight());
        let first = self.collect_at;
        let link = &self.connection.0;
        if !link.is_of_this_process() {
            return self.connection;
        }
        link.put_producer_back(self.producer);
        let tickets = self.tickets.into_iter().zip(&self.lanes).enumerate();
        for (at, (mut ticket, lane)) in tickets {
            ticket.generation = lane.generation;
            match (at + depth - first) % depth < in_flight {
                true => link.abandon(ticket),
                false => link.release(ticket),
            }
        }
        self.connection
    }

    /// What this process calls the connection.
    pub fn coid(&self) -> Coid {
        self.connection.coid()
    }

    /// Whom the connection leads to.
    pub fn server_info(&self) -> ServerInfo {
        self.connection.server_info()
    }

    /// Whether the server was there a moment ago.
    pub fn is_alive(&self) -> bool {
        self.connection.is_alive()
    }

    /// How long [`wait`](Self::wait) and [`next`](Self::next) look before they sleep.
    pub fn set_spin(&self, policy: SpinPolicy) {
        self.connection.set_spin(policy);
    }

    /// Bytes of the longest reply.
    pub fn reply_len_max(&self) -> usize {
        self.reply_len_max
    }
}

impl PipelinedReply<'_> {
    /// How the send ended.
    #[inline]
    pub fn reply(&self) -> Reply {
        reply_of(&self.completion)
    }

    /// Copies from `offset` of the reply; answers how many bytes there were, none in a forked child.
    #[inline]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        if !self.link.is_of_this_process() {
            return 0;
        }
        let len = into.len().min(self.reply().len.saturating_sub(offset));
        let into = &mut into[..len];
        if self.is_inline && self.completion.written.1 == 0 {
            self.link.region.read_reply_inline(self.slot, offset, into);
        } else {
            read_reply(self.link, self.ticket, &self.completion, offset, into);
        }
        len
    }
}

impl Lane {
    fn of(ticket: &Ticket) -> Lane {
        Lane {
            slot: ticket.slot,
            generation: ticket.generation,
        }
    }
}

#[inline]
fn next_lane(at: usize, lanes: usize) -> usize {
    if at + 1 == lanes { 0 } else { at + 1 }
}
