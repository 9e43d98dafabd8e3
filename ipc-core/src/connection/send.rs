//! A blocking send, from the message's bytes to the reply's.

use std::{
    io::{IoSlice, IoSliceMut},
    time::Duration,
};

use crate::{
    abi::{
        ChannelFlags, Errno, Result,
        limits::{CANCEL_TIMEOUT, MSG_LEN_MAX},
    },
    connection::{
        Reply,
        link::Link,
        posting::Ticket,
        signals,
        timeout::{BlockedStates, Timeout},
    },
    shm::{Completion, CompletionFlags, EntryFlags, INLINE_MAX, SlotState, Waited},
    spin,
    srr::Wish,
    sys::{
        clock,
        failpoint::{self, Failpoint},
    },
};

/// Sends until the server's answer is no `ERESTART` (RPL-3), or the time is over.
pub(super) fn send(
    link: &Link,
    parts: &[IoSlice<'_>],
    reply: &mut [IoSliceMut<'_>],
    timeout: Option<Timeout>,
) -> Result<Reply> {
    let mut wait = Wait::new(timeout);
    loop {
        match send_once(link, parts, reply, &mut wait) {
            Err(Errno::ERESTART) => wait.start_over()?,
            outcome => return outcome,
        }
    }
}

fn send_once(
    link: &Link,
    parts: &[IoSlice<'_>],
    reply: &mut [IoSliceMut<'_>],
    wait: &mut Wait,
) -> Result<Reply> {
    let len = total(parts.iter().map(|part| part.len()))?;
    let reply_len = total(reply.iter().map(|part| part.len()))?.min(MSG_LEN_MAX);
    let (ticket, woke) = if let ([part], true) = (parts, len <= INLINE_MAX) {
        link.post_inline(part, reply_len, wait.flags(), wait.deadline_ns)?
    } else if len <= INLINE_MAX {
        let mut inline = [0; INLINE_MAX];
        gather(parts, |offset, part| {
            inline[offset..offset + part.len()].copy_from_slice(part)
        });
        link.post_inline(&inline[..len], reply_len, wait.flags(), wait.deadline_ns)?
    } else {
        let ticket = link.reserve(len, reply_len, true, wait.deadline_ns)?;
        let claim = link
            .message_claim(&ticket)
            .expect("invariant: longer than an entry");
        gather(parts, |offset, part| {
            link.region.write(claim, offset, part);
        });
        let woke = link.post(&ticket, &[], wait.flags());
        (ticket, woke)
    };
    failpoint::pass(Failpoint::SendPosted);
    if let Err(error) = wait.run(link, &ticket, woke) {
        // The server's process did not even acknowledge: its slot stays with it.
        link.abandon(ticket);
        return Err(error);
    }
    failpoint::pass(Failpoint::SendAnswered);
    let outcome = answer(link, &ticket, wait.gave_up);
    if let Ok(completion) = &outcome {
        let mut skip = 0;
        for part in reply.iter_mut() {
            read_reply(link, &ticket, completion, skip, part);
            skip += part.len();
        }
    }
    failpoint::pass(Failpoint::SendRead);
    link.release(ticket);
    outcome.map(|completion| reply_of(&completion))
}

/// What the slot of a finished ticket says: the server's answer, bounded by what was asked for.
///
/// # Errors
/// The errno that the send ends with. `gave_up` is the one for a granted wish to leave.
pub(super) fn answer(link: &Link, ticket: &Ticket, gave_up: Option<Errno>) -> Result<Completion> {
    if link.region.is_done(ticket.slot, ticket.generation) {
        answered(link, ticket, gave_up)
    } else {
        Err(link.end_error())
    }
}

/// As [`answer`], for a ticket whose slot was seen to be done.
#[inline]
pub(super) fn answered(link: &Link, ticket: &Ticket, gave_up: Option<Errno>) -> Result<Completion> {
    outcome(
        link.region.completion(ticket.slot),
        ticket.reply_len,
        gave_up,
    )
}

/// What a server's answer says to a client that takes replies of up to `reply_len` bytes; see [`answer`].
#[inline(always)]
pub(super) fn outcome(
    mut completion: Completion,
    reply_len: usize,
    gave_up: Option<Errno>,
) -> Result<Completion> {
    if completion.flags.contains(CompletionFlags::CANCELLED) {
        return Err(gave_up.unwrap_or(Errno::EINTR));
    }
    if completion.flags.contains(CompletionFlags::ERROR) {
        return Err(Errno(
            i32::try_from(completion.status).unwrap_or(Errno::EPROTO.0),
        ));
    }
    let bound = reply_len as u32;
    completion.len = completion.len.min(bound);
    completion.written.1 = completion.written.1.min(bound);
    completion.written.0 = completion.written.0.min(completion.written.1);
    Ok(completion)
}

/// How much of the reply buffer the server may have touched.
#[inline]
pub(super) fn reply_of(completion: &Completion) -> Reply {
    let len = completion.len.max(completion.written.1) as usize;
    Reply {
        status: completion.status,
        len,
    }
}

/// Copies what was replied and written from `offset` of the reply on; other bytes stay as they are.
#[inline]
pub(super) fn read_reply(
    link: &Link,
    ticket: &Ticket,
    completion: &Completion,
    offset: usize,
    into: &mut [u8],
) {
    let ranges = [(0, completion.len), completion.written];
    for (start, end) in ranges.into_iter().filter(|(start, end)| start < end) {
        let start = (start as usize).clamp(offset, offset + into.len());
        let end = (end as usize).clamp(start, offset + into.len());
        let part = &mut into[start - offset..end - offset];
        match link.reply_claim(ticket) {
            Some(claim) => link.region.read(claim, start, part),
            None => link.region.read_reply_inline(ticket.slot, start, part),
        };
    }
}

fn gather(parts: &[IoSlice<'_>], mut put: impl FnMut(usize, &[u8])) {
    let mut offset = 0;
    for part in parts {
        put(offset, part);
        offset += part.len();
    }
}

fn total(mut lens: impl Iterator<Item = usize>) -> Result<usize> {
    lens.try_fold(0_usize, usize::checked_add)
        .ok_or(Errno::EOVERFLOW)
}

/// The wait of one send: how long, in which states, and what it has come to.
pub(super) struct Wait {
    /// Less, with each time that the message is sent again, the time spent in the states it covers.
    timeout: Option<Timeout>,
    /// When the timeout ends, while it runs.
    end_ns: Option<u64>,
    /// When to stop waiting for what comes next.
    deadline_ns: Option<u64>,
    known: SlotState,
    /// The server said that it received the message.
    received: bool,
    /// Why the sender asked to leave, once it did.
    gave_up: Option<Errno>,
}

impl Wait {
    pub(super) fn new(timeout: Option<Timeout>) -> Wait {
        let timeout = timeout.filter(|timeout| timeout.wish().is_some());
        let from_start = timeout.filter(|t| t.states.contains(BlockedStates::SEND));
        let end_ns = from_start.map(|t| clock::deadline_ns(t.duration));
        Wait {
            timeout,
            end_ns,
            deadline_ns: end_ns,
            known: SlotState::Waiting,
            received: false,
            gave_up: None,
        }
    }

    /// The message is sent once more, in what is left of the time: a server that asks for that is not to hold
    /// its client by it.
    ///
    /// # Errors
    /// `ETIMEDOUT` when nothing is left.
    pub(super) fn start_over(&mut self) -> Result<()> {
        self.stop_clock();
        if self.timeout.is_some_and(|left| left.duration.is_zero()) {
            return Err(Errno::ETIMEDOUT);
        }
        *self = Wait::new(self.timeout);
        Ok(())
    }

    /// The timeout does not cover what comes now.
    fn stop_clock(&mut self) {
        if let (Some(timeout), Some(end_ns)) = (&mut self.timeout, self.end_ns.take()) {
            let left_ns = end_ns.saturating_sub(clock::monotonic_ns());
            timeout.duration = Duration::from_nanos(left_ns);
        }
    }

    /// A timeout that covers one state only needs to be told of the other.
    pub(super) fn flags(&self) -> EntryFlags {
        match self.timeout {
            Some(timeout) if timeout.states != BlockedStates::all() => EntryFlags::REPORT_RECEIVE,
            _ => EntryFlags::empty(),
        }
    }

    /// Why the sender asked to leave, if it did.
    pub(super) fn gave_up(&self) -> Option<Errno> {
        self.gave_up
    }

    /// Waits until the answer is there or the connection ended. `woke` says whether the server had slept.
    ///
    /// # Errors
    /// The sender's reason to leave, when the server's process does not acknowledge it in time: the
    /// slot is still the server's then.
    pub(super) fn run(&mut self, link: &Link, ticket: &Ticket, woke: bool) -> Result<()> {
        // A router's answer takes longer than its waking.
        let budget = match woke && !link.channel_flags.contains(ChannelFlags::ROUTER) {
            true => link.spin.budget_after_wake(),
            false => link.spin.budget(),
        };
        if let Some(budget) = budget {
            let looked_over = || {
                link.region.will_read_far_slot(ticket.slot);
                link.is_over(ticket)
            };
            link.spin.look(budget, looked_over);
        }
        if !link.is_over(ticket) && link.spin.way.is_due() {
            let gave = spin::give_way();
            link.spin.way.came_back(gave, link.is_over(ticket));
        }
        while !link.is_over(ticket) {
            let slept = match link.sleep(ticket, self.known, self.deadline_ns) {
                Ok(Waited::Moved(state)) => {
                    self.moved(link, state);
                    Ok(())
                }
                other => other.map(drop),
            };
            // A server that changes the word all the time keeps its client from sleeping, and no more.
            match slept.and_then(|()| self.check_time()) {
                Ok(()) => {}
                Err(Errno::EINTR) if self.gave_up.is_some() || !signals::are_heeded() => {}
                Err(error) => match self.gave_up {
                    Some(reason) => return Err(reason),
                    None => self.give_up(link, ticket, error),
                },
            }
        }
        Ok(())
    }

    /// Heeds what the server says of the message, once each, and only what an honest one says at this point: a
    /// client that has a timeout is not to be held by words.
    fn moved(&mut self, link: &Link, state: SlotState) {
        self.known = state;
        match (state, self.timeout) {
            // The server's answer decides from now on, whenever it comes (CHN-2).
            (SlotState::Unblocking, _)
                if self.gave_up.is_some() && link.channel_flags.contains(ChannelFlags::UNBLOCK) =>
            {
                self.deadline_ns = None;
            }
            (SlotState::Received, Some(timeout))
                if timeout.states != BlockedStates::all() && !self.received =>
            {
                self.received = true;
                // A wish to leave SEND that came after is void.
                self.gave_up = self.gave_up.filter(|reason| *reason != Errno::ETIMEDOUT);
                self.stop_clock();
                if timeout.states == BlockedStates::REPLY {
                    self.end_ns = Some(clock::deadline_ns(timeout.duration));
                }
                if self.gave_up.is_none() {
                    self.deadline_ns = self.end_ns;
                }
            }
            _ => {}
        }
    }

    /// # Errors
    /// `ETIMEDOUT` when the time is over.
    fn check_time(&self) -> Result<()> {
        match self.deadline_ns {
            Some(deadline_ns) if deadline_ns <= clock::monotonic_ns() => Err(Errno::ETIMEDOUT),
            _ => Ok(()),
        }
    }

    fn give_up(&mut self, link: &Link, ticket: &Ticket, reason: Errno) {
        let wish = match self.timeout.and_then(Timeout::wish) {
            Some(wish) if reason == Errno::ETIMEDOUT => wish,
            _ => Wish::Both,
        };
        self.gave_up = Some(reason);
        self.deadline_ns = Some(clock::deadline_ns(CANCEL_TIMEOUT));
        // A server that hung up meanwhile ends the wait by itself.
        let _ = link.cancel(ticket.slot, ticket.generation, wish);
    }
}
