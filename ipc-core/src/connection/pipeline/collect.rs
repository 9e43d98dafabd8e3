//! The receiving end of a pipeline.

use std::time::Duration;

use crate::{
    abi::{Errno, Result},
    connection::{
        Reply,
        link::Link,
        pipeline::{Pipeline, next_lane},
        posting::Ticket,
        send::{outcome, read_reply, reply_of},
    },
    shm::{Completion, EntryFlags, Slot, SlotState, Waited},
    sys::{
        clock,
        failpoint::{self, Failpoint},
    },
};

/// Slots ahead of the one that is read whose lines are asked for.
const READ_AHEAD: usize = 8;

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
    /// Of all lanes, and which is its own.
    tickets: &'a [Ticket],
    at: usize,
    slot: Slot<'a>,
    is_inline: bool,
    completion: Completion,
}

impl Pipeline {
    /// Whether the oldest message in flight is answered, or lost with the connection.
    #[inline]
    pub fn is_ready(&self) -> bool {
        let (link, lane) = (&self.connection.0, self.lanes[self.collect_at]);
        self.in_flight() > 0
            && link.is_of_this_process()
            && (link.region.is_done(lane.slot, lane.generation) || link.has_ended())
    }

    /// The answer to the oldest message in flight, if it is there.
    // Always: what it answers is taken apart by its caller at once, and would be read back from memory by other
    // widths than it was just written by.
    #[inline(always)]
    pub fn try_next(&mut self) -> Option<Answered<'_>> {
        if self.in_flight() == 0 || !self.connection.0.is_of_this_process() {
            return None;
        }
        let (number, at) = (self.collected, self.collect_at);
        let lane = self.lanes[at];
        let link = &*self.connection.0;
        let lines = link.region.lines();
        let slot = lines.slot(lane.slot);
        let is_done = slot.is_done(lane.generation);
        if !is_done && !link.has_ended() {
            self.unpublished.hand_over(&mut self.producer, link);
            return None;
        }
        if let Some(ahead) = self.lanes.get(at + READ_AHEAD) {
            lines.will_read_slot(ahead.slot);
        }
        self.collected += 1;
        self.collect_at = next_lane(at, self.lanes.len());
        let outcome = if is_done {
            failpoint::pass(Failpoint::SendAnswered);
            outcome(slot.completion(), self.reply_len_max, Some(Errno::EINTR))
        } else {
            Err(link.end_error())
        };
        let result = outcome.map(|completion| PipelinedReply {
            link,
            tickets: &self.tickets,
            at,
            slot,
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
}

impl PipelinedReply<'_> {
    /// How the send ended.
    #[inline]
    pub fn reply(&self) -> Reply {
        reply_of(&self.completion)
    }

    /// Copies from `offset` of the reply; answers how many bytes there were, none in a forked child.
    #[inline(always)]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        if !self.link.is_of_this_process() {
            return 0;
        }
        let room = self.reply().len.saturating_sub(offset);
        // Who asks for a known number of bytes gets a copy of just that, without a look at how many they are.
        if into.len() <= room {
            self.read_part(offset, into)
        } else {
            self.read_part(offset, &mut into[..room])
        }
    }

    #[inline(always)]
    fn read_part(&self, offset: usize, into: &mut [u8]) -> usize {
        if self.is_inline && self.completion.written.1 == 0 {
            self.slot.read_reply(offset, into);
        } else {
            self.read_elsewhere(offset, into);
        }
        into.len()
    }

    /// Copies from a reply that is in the arena, or was written in parts.
    #[inline(never)]
    fn read_elsewhere(&self, offset: usize, into: &mut [u8]) {
        let ticket = &self.tickets[self.at];
        read_reply(self.link, ticket, &self.completion, offset, into);
    }
}
