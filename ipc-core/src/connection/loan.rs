//! Loans: buffers inside the region, for messages that are not copied.

use std::sync::Arc;

use crate::{
    abi::{Errno, Result},
    connection::{
        Reply,
        link::Link,
        posting::Ticket,
        send::{Wait, answer, read_reply, reply_of},
        timeout::Timeout,
    },
    shm::{Completion, INLINE_MAX},
};

/// A buffer in a connection's region, to be filled and sent. Dropped unsent it goes back.
#[derive(Debug)]
pub struct Loan {
    held: Held,
    /// A message that small travels inside its entry and is kept here until then.
    inline: [u8; INLINE_MAX],
}

/// A reply that lies where the server put it. Dropping it lets the buffer be used again.
#[derive(Debug)]
pub struct LoanReply {
    held: Held,
    completion: Completion,
}

/// A ticket that is not posted, or answered: it goes back when nobody holds it any more.
#[derive(Debug)]
struct Held {
    link: Arc<Link>,
    ticket: Option<Ticket>,
}

impl Loan {
    pub(super) fn new(link: &Arc<Link>, len: usize, reply_len: usize) -> Result<Loan> {
        let ticket = link.reserve(len, reply_len, false, None)?;
        let held = Held {
            link: Arc::clone(link),
            ticket: Some(ticket),
        };
        Ok(Loan {
            held,
            inline: [0; INLINE_MAX],
        })
    }

    /// Bytes of the message.
    #[allow(
        clippy::len_without_is_empty,
        reason = "an empty message is no special case"
    )]
    pub fn len(&self) -> usize {
        self.held.ticket().len
    }

    /// Copies `bytes` to `offset` of the message, bounded by it; answers how many went in, none in a forked
    /// child.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let (link, ticket) = (&self.held.link, self.held.ticket());
        if !link.is_of_this_process() {
            return 0;
        }
        if let Some(claim) = link.message_claim(ticket) {
            return link.region.write(claim, offset, bytes);
        }
        let room = self.inline[..ticket.len]
            .get_mut(offset..)
            .unwrap_or_default();
        let len = room.len().min(bytes.len());
        room[..len].copy_from_slice(&bytes[..len]);
        len
    }

    /// The message's bytes in place.
    ///
    /// # Safety
    /// The server maps the same bytes and could write them at any moment, although nothing tells it to
    /// before the loan is sent: the caller must trust the server's process not to. A forked child does not have
    /// the memory.
    #[allow(unsafe_code, reason = "the caller vouches for the peer")]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let (link, ticket) = (&self.held.link, self.held.ticket());
        match link.message_claim(ticket) {
            // SAFETY: the claim lies in a mapping that lives as long as the link; the ticket makes this
            // loan its only user in this process, and `&mut self` the only borrow; the caller vouches
            // for the other process.
            Some(claim) => unsafe {
                std::slice::from_raw_parts_mut(link.region.ptr(claim), claim.len())
            },
            None => &mut self.inline[..ticket.len],
        }
    }

    pub(super) fn is_of(&self, link: &Arc<Link>) -> bool {
        Arc::ptr_eq(&self.held.link, link)
    }

    /// Takes the loan apart for posting: whoever gets the ticket is responsible for it from now on.
    pub(super) fn into_parts(mut self) -> (Arc<Link>, Ticket, [u8; INLINE_MAX]) {
        let ticket = self
            .held
            .ticket
            .take()
            .expect("invariant: held until taken");
        (Arc::clone(&self.held.link), ticket, self.inline)
    }
}

/// Sends a loan and waits for the answer; again if the answer is `ERESTART` (RPL-3).
pub(super) fn send(loan: Loan, timeout: Option<Timeout>) -> Result<LoanReply> {
    let (link, mut ticket, inline) = loan.into_parts();
    loop {
        if let Err(error) = link.check_live() {
            link.release(ticket);
            return Err(error);
        }
        let mut wait = Wait::new(timeout);
        let inline_len = ticket.inline_len();
        link.post(&ticket, &inline[..inline_len], wait.flags());
        if let Err(error) = wait.run(&link, &ticket) {
            link.abandon(ticket);
            return Err(error);
        }
        match answer(&link, &ticket, wait.gave_up()) {
            Err(Errno::ERESTART) => link.renew(&mut ticket),
            outcome => return LoanReply::new(link, ticket, outcome),
        }
    }
}

impl LoanReply {
    /// The reply of an answered ticket; the ticket goes back with it, or at once for an error.
    pub(super) fn new(
        link: Arc<Link>,
        ticket: Ticket,
        outcome: Result<Completion>,
    ) -> Result<LoanReply> {
        let held = Held {
            link,
            ticket: Some(ticket),
        };
        outcome.map(|completion| LoanReply { held, completion })
    }

    /// How the send ended.
    pub fn reply(&self) -> Reply {
        reply_of(&self.completion)
    }

    /// Bytes at the start of the reply buffer that the server replied, and the range, as start and end,
    /// that it had written before.
    pub fn extents(&self) -> (usize, (usize, usize)) {
        let (start, end) = self.completion.written;
        (self.completion.len as usize, (start as usize, end as usize))
    }

    /// Copies from `offset` of the reply; answers how many bytes there were, none in a forked child.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        if !self.held.link.is_of_this_process() {
            return 0;
        }
        let len = into.len().min(self.reply().len.saturating_sub(offset));
        let into = &mut into[..len];
        read_reply(
            &self.held.link,
            self.held.ticket(),
            &self.completion,
            offset,
            into,
        );
        len
    }

    /// The reply's bytes in place, unless it is small enough to have come inside its slot.
    ///
    /// # Safety
    /// The server maps the same bytes and could still write them, although it answered: the caller must
    /// trust the server's process not to. A forked child does not have the memory.
    #[allow(unsafe_code, reason = "the caller vouches for the peer")]
    pub unsafe fn as_slice(&self) -> Option<&[u8]> {
        let claim = self.held.link.reply_claim(self.held.ticket())?;
        let len = self.reply().len.min(claim.len());
        // SAFETY: the claim lies in a mapping that lives as long as the link; the ticket keeps the block
        // ours; the caller vouches for the other process.
        Some(unsafe { std::slice::from_raw_parts(self.held.link.region.ptr(claim), len) })
    }
}

impl Held {
    fn ticket(&self) -> &Ticket {
        self.ticket.as_ref().expect("invariant: held until taken")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.link.release(ticket);
        }
    }
}
