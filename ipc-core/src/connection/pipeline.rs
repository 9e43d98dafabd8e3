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

mod collect;
mod submit;

use crate::{
    abi::{Coid, Errno, Priority, PulseCode, Result, ServerInfo, limits::PIPELINE_DEPTH_DEFAULT},
    connection::{Connection, posting::Ticket, priority},
    shm::{EntryFlags, Producer},
    spin::SpinPolicy,
    srr::Wish,
    sys::failpoint::{self, Failpoint},
};

pub use collect::{Answered, PipelinedReply};
use submit::Unpublished;

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
    unpublished: Unpublished,
    /// Something was submitted that the server was not told of.
    unrung: bool,
    /// The server asked for stamps when the present run began.
    stamps: bool,
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
            unpublished: Unpublished::default(),
            unrung: false,
            stamps: false,
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
        failpoint::pass(Failpoint::PulseSent);
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
