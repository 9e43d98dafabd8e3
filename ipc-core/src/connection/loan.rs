//! Loans: buffers inside the region, for messages that are not copied.

use std::{cell::RefCell, sync::Arc};

use crate::{
    abi::{Errno, Result, limits::SPARE_MESSAGES_MAX},
    connection::{
        Reply,
        completions::Token,
        link::Link,
        posting::Ticket,
        send::{Wait, answer, read_reply, reply_of},
        timeout::Timeout,
    },
    shm::{Completion, INLINE_MAX, MappedBytes, before_reuse},
};

/// A buffer in a connection's region, to be filled and sent. Dropped unsent it goes back.
#[derive(Debug)]
pub struct Loan {
    held: Held,
}

/// A reply that lies where the server put it, or was copied because it is short. Dropping it lets the buffer be used
/// again.
#[derive(Debug)]
pub struct LoanReply {
    place: ReplyPlace,
    completion: Completion,
}

/// Where a reply is.
#[derive(Debug)]
enum ReplyPlace {
    InRegion(Held),
    /// All of it; its slot serves other messages.
    Copied(Box<[u8]>),
}

/// What is not posted, or answered: it goes back when nobody holds it any more.
///
/// It is moved as two pointers. A copy of it all, right after the message was written in place, would wait
/// until what was written has reached the cache: a load that spans several stores waits for all before them.
#[derive(Debug)]
struct Held {
    link: Arc<Link>,
    parcel: Option<Box<Parcel>>,
}

#[derive(Debug)]
pub(super) struct Parcel {
    /// Gone once somebody else is responsible for it.
    ticket: Option<Ticket>,
    /// A message that small travels inside its entry and is kept here until then.
    inline: [u8; INLINE_MAX],
}

thread_local! {
    /// Room for the next loans.
    #[allow(clippy::vec_box, reason = "what is kept is the box")]
    static SPARE: RefCell<Vec<Box<Parcel>>> = const { RefCell::new(Vec::new()) };
}

impl Loan {
    pub(super) fn new(link: &Arc<Link>, len: usize, reply_len: usize) -> Result<Loan> {
        let ticket = link.reserve(len, reply_len, false, None)?;
        // It may be written in place.
        before_reuse();
        let held = Held::new(Arc::clone(link), ticket);
        Ok(Loan { held })
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
        let len = ticket.len;
        let room = self.held.parcel_mut().inline[..len]
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
    /// before the loan is sent: the caller must trust the server's process not to. As long as the slice lives, no
    /// thread reads or writes the block by other means: through a [`MappedBytes`] of it, be it from
    /// [`room`](Self::room) or of an earlier message or reply that had the block, or as a server in this same
    /// process. A forked child does not have the memory.
    #[allow(unsafe_code, reason = "the caller vouches for the peer")]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let (link, ticket) = (&self.held.link, self.held.ticket());
        match link.message_claim(ticket) {
            // SAFETY: the claim lies in a mapping that lives as long as the link; the ticket makes this
            // loan its only user on this side, and `&mut self` the only borrow of it; the caller vouches
            // for the server and for what outlives a loan, `MappedBytes`.
            Some(claim) => unsafe {
                std::slice::from_raw_parts_mut(link.region.ptr(claim), claim.len())
            },
            None => {
                let len = ticket.len;
                &mut self.held.parcel_mut().inline[..len]
            }
        }
    }

    /// Where bytes of the message belong in shared memory; `None` for a small one, which travels inside its entry,
    /// past its end, and in a forked child. The memory outlives the loan, but only as long as that is neither sent nor
    /// dropped the bytes are its holder's to write.
    pub fn room(&mut self, offset: usize, len: usize) -> Option<MappedBytes> {
        let link = &self.held.link;
        let claim = link.message_claim(self.held.ticket())?;
        let keeper = Arc::clone(link);
        let room = MappedBytes::new(&link.region, claim, offset, len, keeper);
        room.filter(|_| link.is_of_this_process())
    }

    pub(super) fn is_of(&self, link: &Arc<Link>) -> bool {
        Arc::ptr_eq(&self.held.link, link)
    }

    pub(super) fn link(&self) -> &Link {
        &self.held.link
    }

    /// Posts the loan's message without telling the server; its answer comes out of the queue under `token`.
    pub(super) fn enqueue(mut self, token: Token, reports: bool) {
        let parcel = self.held.parcel.take();
        let parcel = parcel.expect("invariant: there until the drop");
        self.held.link.enqueue(parcel, token, reports);
    }
}

/// Sends a loan and waits for the answer; again, while there is time, if the answer is `ERESTART` (RPL-3).
pub(super) fn send(loan: Loan, timeout: Option<Timeout>) -> Result<LoanReply> {
    let mut held = loan.held;
    let mut wait = Wait::new(timeout);
    loop {
        let link = &held.link;
        link.check_live()?;
        let ticket = held.ticket();
        let inline = &held.parcel().inline[..ticket.inline_len()];
        let woke = link.post(ticket, inline, wait.flags());
        if let Err(error) = wait.run(link, ticket, woke) {
            let ticket = held.take_ticket();
            held.link.abandon(ticket);
            return Err(error);
        }
        match answer(link, ticket, wait.gave_up()) {
            Ok(completion) => {
                let place = ReplyPlace::InRegion(held);
                return Ok(LoanReply { place, completion });
            }
            Err(Errno::ERESTART) => {
                wait.start_over()?;
                held.renew();
            }
            Err(error) => return Err(error),
        }
    }
}

impl LoanReply {
    /// The reply to a submitted message; its ticket goes back with it.
    pub(super) fn in_place(link: Arc<Link>, ticket: Ticket, completion: Completion) -> LoanReply {
        LoanReply {
            place: ReplyPlace::InRegion(Held::new(link, ticket)),
            completion,
        }
    }

    /// The reply to a submitted message whose ticket went back: `bytes` are all that the server replied.
    pub(super) fn copied(bytes: Box<[u8]>, completion: Completion) -> LoanReply {
        let place = ReplyPlace::Copied(bytes);
        LoanReply { place, completion }
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
        let len = into.len().min(self.reply().len.saturating_sub(offset));
        let into = &mut into[..len];
        match &self.place {
            ReplyPlace::Copied(bytes) if len > 0 => into.copy_from_slice(&bytes[offset..][..len]),
            ReplyPlace::Copied(_) => {}
            ReplyPlace::InRegion(held) if held.link.is_of_this_process() => {
                read_reply(&held.link, held.ticket(), &self.completion, offset, into);
            }
            ReplyPlace::InRegion(_) => return 0,
        }
        len
    }

    /// What holds the reply's buffer, if the reply lies there.
    fn held(&self) -> Option<&Held> {
        match &self.place {
            ReplyPlace::InRegion(held) => Some(held),
            ReplyPlace::Copied(_) => None,
        }
    }

    /// Bytes of the reply where they lie in shared memory; `None` for a small one, which came inside its slot, and
    /// past its end. They outlive the reply: the buffer may serve another message by then.
    pub fn mapped(&self, offset: usize, len: usize) -> Option<MappedBytes> {
        let held = self.held()?;
        let link = &held.link;
        let is_inside = offset.checked_add(len)? <= self.reply().len;
        let claim = link.reply_claim(held.ticket()).filter(|_| is_inside)?;
        let keeper = Arc::clone(link);
        MappedBytes::new(&link.region, claim, offset, len, keeper)
    }

    /// The reply's bytes in place, unless it is small enough to have come inside its slot.
    ///
    /// # Safety
    /// The server maps the same bytes and could still write them, although it answered: the caller must
    /// trust the server's process not to, also when that is this process. As long as the slice lives, nobody writes
    /// the block through a [`MappedBytes`] that is left over from an earlier message. A forked child does not have
    /// the memory.
    #[allow(unsafe_code, reason = "the caller vouches for the peer")]
    pub unsafe fn as_slice(&self) -> Option<&[u8]> {
        let held = self.held()?;
        let claim = held.link.reply_claim(held.ticket())?;
        let len = self.reply().len.min(claim.len());
        // SAFETY: the claim lies in a mapping that lives as long as the link; the ticket keeps the block
        // ours; the caller vouches for the server and for what outlives a loan, `MappedBytes`.
        Some(unsafe { std::slice::from_raw_parts(held.link.region.ptr(claim), len) })
    }
}

impl Parcel {
    /// A parcel of nothing but zeros so far.
    pub(super) fn of(ticket: Ticket) -> Box<Parcel> {
        match SPARE.try_with(|spare| spare.borrow_mut().pop()) {
            Ok(Some(mut spare)) => {
                if ticket.is_inline() {
                    spare.inline[..ticket.len].fill(0);
                }
                spare.ticket = Some(ticket);
                spare
            }
            // Also in a thread that is ending.
            _ => Box::new(Parcel {
                ticket: Some(ticket),
                inline: [0; INLINE_MAX],
            }),
        }
    }

    /// Takes the ticket out; the parcel serves another message.
    pub(super) fn into_ticket(mut self: Box<Parcel>) -> Ticket {
        let ticket = self.ticket.take();
        self.keep();
        ticket.expect("invariant: held until taken")
    }

    /// Keeps the room for the next loan.
    fn keep(self: Box<Parcel>) {
        // In a thread that is ending it is freed.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MESSAGES_MAX {
                spare.push(self);
            }
        });
    }

    /// The ticket of a message that is in flight.
    pub(super) fn ticket(&self) -> &Ticket {
        let ticket = self.ticket.as_ref();
        ticket.expect("invariant: held until taken")
    }

    /// What of the message travels inside its entry.
    pub(super) fn inline(&self) -> &[u8] {
        &self.inline[..self.ticket().inline_len()]
    }
}

impl Held {
    fn new(link: Arc<Link>, ticket: Ticket) -> Held {
        let parcel = Some(Parcel::of(ticket));
        Held { link, parcel }
    }

    fn parcel(&self) -> &Parcel {
        let parcel = self.parcel.as_deref();
        parcel.expect("invariant: there until the drop")
    }

    fn parcel_mut(&mut self) -> &mut Parcel {
        let parcel = self.parcel.as_deref_mut();
        parcel.expect("invariant: there until the drop")
    }

    fn ticket(&self) -> &Ticket {
        self.parcel().ticket()
    }

    /// Whoever gets the ticket is responsible for it from now on.
    fn take_ticket(&mut self) -> Ticket {
        let ticket = self.parcel_mut().ticket.take();
        ticket.expect("invariant: held until taken")
    }

    /// Makes the answered ticket good for sending the same message again.
    fn renew(&mut self) {
        let parcel = self.parcel.as_deref_mut();
        let ticket = parcel.and_then(|parcel| parcel.ticket.as_mut());
        self.link
            .renew(ticket.expect("invariant: held until taken"));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut parcel) = self.parcel.take() else {
            return;
        };
        if let Some(ticket) = parcel.ticket.take() {
            // The next loan is likely to be in the same place. Its first stores would wait for these lines, and
            // whatever locks after them with them.
            if self.link.is_of_this_process()
                && let Some(claim) = self.link.message_claim(&ticket)
            {
                self.link.region.will_write_claim(claim);
            }
            self.link.release(ticket);
        }
        parcel.keep();
    }
}
