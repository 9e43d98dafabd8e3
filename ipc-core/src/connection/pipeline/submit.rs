//! The sending end of a pipeline.

use crate::{
    abi::{Errno, Result, limits::PIPELINE_RUN},
    connection::{
        link::Link,
        pipeline::{Pipeline, TRAVELS_INLINE, next_lane},
        posting::following,
        priority,
    },
    shm::{Claim, MessageEntry, Producer},
    sys::{clock, thread},
};

/// Entries ahead of the one that is written whose lines are asked for.
const WRITE_AHEAD: u32 = 8;

/// How many entries were written and not handed over.
#[derive(Debug, Default)]
pub(super) struct Unpublished(u32);

impl Unpublished {
    /// Hands them over.
    #[inline(never)]
    pub(super) fn hand_over(&mut self, producer: &mut Producer, link: &Link) {
        producer.publish(&link.region, std::mem::take(&mut self.0));
    }
}

impl Pipeline {
    /// Sends `message` without waiting, and answers its number: 0, 1, 2 and so on. The server is told by
    /// the next [`flush`](Self::flush), or when this thread waits; one that looks may find it before, but
    /// need not: messages are handed over [`PIPELINE_RUN`] at a time.
    ///
    /// # Errors
    /// `EAGAIN` when as many as [`depth`](Self::depth) are in flight; `EMSGSIZE` longer than was set aside;
    /// `EBADF` the connection has ended.
    // Always: a message that its caller has just put together by words is copied from there by wider loads, which in a
    // function of its own would wait until those words have left the store buffer.
    #[inline(always)]
    pub fn submit(&mut self, message: &[u8]) -> Result<u64> {
        self.connection.0.check_live()?;
        if self.in_flight() == self.lanes.len() {
            return Err(Errno::EAGAIN);
        }
        if message.len() > self.len_max {
            return Err(Errno::EMSGSIZE);
        }
        if self.unpublished.0 == 0 {
            self.stamps = self.connection.0.wants_stamp();
        }
        if self.flags.contains(TRAVELS_INLINE) {
            self.write(message.len(), message, [Claim::default(); 2]);
        } else {
            self.write_claimed(message);
        }
        let number = self.submitted;
        self.submitted += 1;
        self.submit_at = next_lane(self.submit_at, self.lanes.len());
        self.unpublished.0 += 1;
        self.unrung = true;
        if self.unpublished.0 == PIPELINE_RUN {
            self.publish();
        }
        Ok(number)
    }

    /// Writes the entry of a message of which some part goes through the arena.
    #[inline(never)]
    fn write_claimed(&mut self, message: &[u8]) {
        let link = &self.connection.0;
        let ticket = &mut self.tickets[self.submit_at];
        ticket.len = message.len();
        let reply = link.reply_claim(ticket).unwrap_or_default();
        match link.message_claim(ticket) {
            Some(claim) => {
                link.region.write(claim, 0, message);
                self.write(message.len(), &[], [claim, reply]);
            }
            None => self.write(message.len(), message, [Claim::default(), reply]),
        }
    }

    /// Writes the entry of the next lane's message; `claims` are those of the message and of the reply.
    #[inline(always)]
    fn write(&mut self, len: usize, inline: &[u8], claims: [Claim; 2]) {
        let lane = &mut self.lanes[self.submit_at];
        lane.generation = following(lane.generation);
        let entry = MessageEntry {
            flags: self.flags,
            priority: priority::priority(),
            slot: lane.slot,
            generation: lane.generation,
            tid: thread::current_tid(),
            stamp_ns: if self.stamps {
                clock::monotonic_ns()
            } else {
                0
            },
            len: len as u32,
            reply_len: self.reply_len_max as u32,
            message: claims[0],
            reply: claims[1],
        };
        let region = &self.connection.0.region;
        let ahead = self.producer.tail().wrapping_add(WRITE_AHEAD);
        region.lines().will_write_entry(ahead);
        self.producer.write_message(region, &entry, inline);
    }

    /// Hands over what was written.
    #[inline(never)]
    pub(super) fn publish(&mut self) {
        self.unpublished
            .hand_over(&mut self.producer, &self.connection.0);
    }

    /// Tells the server of everything submitted so far. Whoever submits and then does something else for a
    /// while calls it; waiting does it by itself.
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.unrung) && self.connection.0.is_of_this_process() {
            self.publish();
            self.connection.0.ring();
        }
    }
}
