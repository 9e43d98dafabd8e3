//! Submitted messages: posted without a thread that waits, until their answers are taken.
//!
//! Many are posted under one lock, and their answers taken under one lock. A short message, which with its reply
//! travels in entry and slot alone, gives its slot back as its answer is taken: whoever gets the answer holds
//! nothing of the region. The one invariant: a slot is pending from before the lock under which it was posted is
//! given back until its answer is taken.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    abi::{Errno, Result, limits::PIPELINE_RUN},
    connection::{
        completions::{Completion, Token},
        link::Link,
        loan::{LoanReply, Parcel},
        posting::{Posting, Ticket},
        send::{answered, read_reply},
    },
    shm::{CompletionFlags, EntryFlags, INLINE_MAX},
    sys::failpoint::{self, Failpoint},
};

/// Entries ahead of the one that is written whose lines are asked for.
const WRITE_AHEAD: u32 = 4;

/// A message to be submitted that travels inside its entry.
#[derive(Clone, Copy, Debug)]
pub struct ShortMessage<'a> {
    /// At most 80 bytes.
    pub bytes: &'a [u8],
    /// Bytes that the reply may have.
    pub reply_len: usize,
    /// What its completion is called.
    pub token: Token,
}

/// A submitted message that is not answered yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) token: Token,
    pub(super) ticket: Ticket,
    /// The sender wants to know when the server receives it, and was not told.
    reports: bool,
}

impl Link {
    /// Posts a message whose answer comes out of the queue under `token`. A ring must follow.
    pub(super) fn enqueue(&self, parcel: Box<Parcel>, token: Token, reports: bool) {
        let mut flags = EntryFlags::ASYNC;
        flags.set(EntryFlags::REPORT_RECEIVE, reports);
        let entry = self.entry(parcel.ticket(), flags);
        let mut posting = self.posting();
        posting
            .producer
            .post_message(&self.region, &entry, parcel.inline());
        let ticket = parcel.into_ticket();
        posting.keep_pending(Pending {
            token,
            ticket,
            reports,
        });
        drop(posting);
        self.tell_queue_of_end();
    }

    /// Posts messages of at most [`INLINE_MAX`] bytes, without waiting, whose answers come out of the queue. A ring must follow. Answers how many found a place; those behind were not looked at.
    ///
    /// # Errors
    /// Why the first was not posted: see [`crate::Connection::enqueue_run`].
    pub(super) fn enqueue_run<'a>(
        &self,
        messages: impl Iterator<Item = ShortMessage<'a>>,
    ) -> Result<usize> {
        self.check_live()?;
        let mut posting = self.posting();
        // Under the lock, which whoever ends the connection takes after it said so.
        if self.has_ended() {
            return Err(self.end_error());
        }
        self.reap(&mut posting);
        let (mut posted, mut unpublished) = (0, 0);
        let mut refused = None;
        for message in messages {
            let reserved = match message.bytes.len() {
                0..=INLINE_MAX => posting.try_reserve(message.bytes.len(), message.reply_len),
                _ => Err(Errno::EMSGSIZE),
            };
            let ticket = match reserved {
                Ok(ticket) => ticket,
                Err(errno) => {
                    refused = Some(errno);
                    break;
                }
            };
            let ahead = posting.producer.tail().wrapping_add(WRITE_AHEAD);
            self.region.lines().will_write_entry(ahead);
            let entry = self.entry(&ticket, EntryFlags::ASYNC);
            (posting.producer).write_message(&self.region, &entry, message.bytes);
            posting.keep_pending(Pending {
                token: message.token,
                ticket,
                reports: false,
            });
            (posted, unpublished) = (posted + 1, unpublished + 1);
            if unpublished == PIPELINE_RUN {
                posting.producer.publish(&self.region, unpublished);
                unpublished = 0;
            }
        }
        if unpublished > 0 {
            posting.producer.publish(&self.region, unpublished);
        }
        drop(posting);
        self.tell_queue_of_end();
        match refused {
            Some(errno) if posted == 0 => Err(errno),
            _ => Ok(posted),
        }
    }

    /// A connection that ended as something was posted on it must be looked at once more.
    fn tell_queue_of_end(&self) {
        if self.has_ended() {
            self.ring_queue();
        }
    }

    /// Takes the answers to submitted messages, as the server says which there are, or that they are lost.
    /// Those that are no more than a status go to `statuses`, if there is such a place.
    pub(super) fn harvest(
        self: &Arc<Link>,
        into: &mut VecDeque<Completion>,
        mut statuses: Option<&mut VecDeque<(Token, i64)>>,
    ) {
        self.heed_end();
        let mut posting = self.posting();
        let taken_before = posting.pending_count;
        if self.has_ended() {
            let lost = std::mem::take(&mut posting.pending);
            for pending in lost.into_iter().flatten() {
                posting.pending_count -= 1;
                self.complete(&mut posting, pending, into);
            }
        } else {
            // SYNC(done)
            self.region.take_done(|slot| {
                failpoint::pass(Failpoint::DoneTaken);
                let Some(place) = posting.pending.get_mut(slot as usize) else {
                    return;
                };
                if let (Some(pending), Some(statuses)) = (&place, statuses.as_deref_mut())
                    && let Some(status) = self.bare_status(&pending.ticket)
                {
                    statuses.push_back((pending.token, status));
                    posting.take_last(slot);
                    return;
                }
                let is_over = |pending: &mut Pending| self.is_over(&pending.ticket);
                if let Some(pending) = place.take_if(is_over) {
                    posting.pending_count -= 1;
                    self.complete(&mut posting, pending, into);
                } else if let Some(pending) = place.as_mut().filter(|pending| pending.reports) {
                    self.note_received(pending);
                }
            });
        }
        if posting.waiting > 0 && posting.pending_count < taken_before {
            self.freed.notify_all();
        }
    }

    /// Tells the queue of a message that waits for its answer, if its server has received it.
    fn note_received(&self, pending: &mut Pending) {
        let Ticket {
            slot, generation, ..
        } = pending.ticket;
        if let Some(seat) = self.seat()
            && self.region.is_received(slot, generation)
        {
            pending.reports = false;
            seat.note_received(pending.token);
        }
    }

    /// The completion of a message that is answered or lost.
    fn complete(
        self: &Arc<Link>,
        posting: &mut Posting,
        pending: Pending,
        into: &mut VecDeque<Completion>,
    ) {
        let Pending { token, ticket, .. } = pending;
        let outcome = match self.region.is_done(ticket.slot, ticket.generation) {
            true => {
                failpoint::pass(Failpoint::SendAnswered);
                answered(self, &ticket, Some(Errno::EINTR))
            }
            false => Err(self.end_error()),
        };
        let let_go = matches!(outcome, Err(Errno::EINTR)) && self.was_let_go(&ticket);
        let result = match outcome {
            Ok(completion) if ticket.is_short() && completion.written == (0, 0) => {
                let mut bytes = vec![0; completion.len as usize].into_boxed_slice();
                if !bytes.is_empty() {
                    read_reply(self, &ticket, &completion, 0, &mut bytes);
                }
                match posting.pending_count {
                    0 => posting.release(ticket),
                    _ => posting.release_last(ticket),
                }
                Ok(LoanReply::copied(bytes, completion))
            }
            Ok(completion) => Ok(LoanReply::in_place(Arc::clone(self), ticket, completion)),
            Err(errno) => {
                posting.release(ticket);
                Err(errno)
            }
        };
        let coid = self.info.coid;
        into.push_back(Completion {
            token,
            coid,
            result,
            let_go,
        });
    }

    /// The status of a short message that was answered with nothing else.
    #[inline]
    fn bare_status(&self, ticket: &Ticket) -> Option<i64> {
        if !ticket.is_short() || !self.region.is_done(ticket.slot, ticket.generation) {
            return None;
        }
        let completion = self.region.completion(ticket.slot);
        let (start, end) = completion.written;
        // As bounded by what the reply may have: a server's word.
        let has_bytes = ticket.reply_len > 0 && (completion.len > 0 || start < end);
        if has_bytes || !completion.flags.is_empty() {
            return None;
        }
        failpoint::pass(Failpoint::SendAnswered);
        Some(completion.status)
    }

    /// Whether an answered message's sender was let go of, by the server's library and not by the server's word.
    fn was_let_go(&self, ticket: &Ticket) -> bool {
        let completion = self.region.completion(ticket.slot);
        completion.flags.contains(CompletionFlags::CANCELLED)
    }

    /// Whether answers to submitted messages are still to come out of the queue.
    pub(super) fn has_pending(&self) -> bool {
        self.posting().pending_count > 0
    }

    /// The slot and generation of a submitted message.
    pub(super) fn find_pending(&self, token: Token) -> Option<(u32, u32)> {
        let posting = self.posting();
        let mut pending = posting.pending.iter().flatten();
        let ticket = &pending.find(|pending| pending.token == token)?.ticket;
        Some((ticket.slot, ticket.generation))
    }
}

impl Posting {
    /// Takes a short message out that is answered; its slot is used again after all others, as with
    /// [`release_last`](Self::release_last).
    fn take_last(&mut self, slot: u32) {
        let Some(Pending { ticket, .. }) = &self.pending[slot as usize] else {
            return;
        };
        let generation = ticket.generation;
        self.release_short(slot, generation);
        self.pending[slot as usize] = None;
        self.pending_count -= 1;
    }

    /// Keeps a submitted message until its answer is taken.
    fn keep_pending(&mut self, pending: Pending) {
        if self.pending.is_empty() {
            let slots = self.slots();
            self.pending = std::iter::repeat_with(|| None).take(slots).collect();
        }
        let slot = pending.ticket.slot as usize;
        self.pending[slot] = Some(pending);
        self.pending_count += 1;
    }
}
