//! Leases: messages that a batch holds, REPLY-blocked without a receive id.
//!
//! Giving each message of a batch a place in the table and taking it out again costs more than all the rest
//! of receiving and answering it. A lease is one place for many: it shares the batch's private copies, which
//! nobody changes, and notes which messages are no longer the batch's to answer without asking, because
//! their clients want out, their receive id was asked for, or they are answered. The one invariant: a
//! message whose slot is busy is in the ring's private copy exactly once, in the table or in a lease.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    abi::{Errno, Rcvid, Result},
    channel::{
        attached::{Attached, InFlight},
        state::State,
    },
    shm::{Inline, MessageEntry},
    srr::Want,
};

/// Entries ahead of the one that is read whose lines are asked for.
const READ_AHEAD: u32 = 8;

/// The messages of one batch, in the order of receipt. Nobody changes them while a lease shares them.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) runs: Vec<Run>,
    /// Places for messages; the first `len` are taken.
    places: Vec<Item>,
    len: usize,
    /// Some message is no longer REPLY-blocked, or got a receive id: the lease knows which.
    disturbed: AtomicBool,
}

/// Neighbours in a batch that came through one connection.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) attached: Arc<Attached>,
    pub(super) index: u32,
    pub(super) range: Range<usize>,
}

/// One message of a batch: the server's private copy.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) entry: MessageEntry,
    pub(super) inline: Inline,
}

/// All leases of a channel.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leases: Vec<Lease>,
    seen: u64,
}

#[derive(Debug)]
struct Lease {
    id: u64,
    items: Arc<Items>,
    /// The first message that is not answered.
    next: usize,
    /// Messages that were given a receive id.
    adopted: Vec<(usize, Rcvid)>,
}

impl Items {
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
        *self.disturbed.get_mut() = false;
    }

    /// Whether all messages are still as they were received.
    #[inline]
    pub(super) fn is_undisturbed(&self) -> bool {
        !self.disturbed.load(Ordering::Acquire)
    }

    /// The run that position `at` belongs to.
    #[inline]
    pub(super) fn run_of(&self, at: usize) -> &Run {
        let index = self.runs.partition_point(|run| run.range.end <= at);
        &self.runs[index]
    }

    /// Messages there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn item(&self, at: usize) -> &Item {
        &self.places[..self.len][at]
    }

    /// A place for one more message; it is taken by increasing `len`.
    #[inline]
    fn place(&mut self) -> &mut Item {
        if self.len == self.places.len() {
            self.places.push(Item::default());
        }
        &mut self.places[self.len]
    }

    fn push(&mut self, attached: &Arc<Attached>, index: u32, item: Item) {
        let at = self.len;
        *self.place() = item;
        self.len += 1;
        match self.runs.last_mut() {
            Some(run) if run.index == index && run.attached.id == attached.id => {
                run.range.end = at + 1;
            }
            _ => self.runs.push(Run {
                attached: Arc::clone(attached),
                index,
                range: at..at + 1,
            }),
        }
    }

    /// A message as the table keeps it.
    pub(super) fn in_flight(&self, at: usize) -> InFlight {
        let (run, item) = (self.run_of(at), self.item(at));
        InFlight {
            index: run.index,
            entry: item.entry,
            inline: item.inline,
            written: (0, 0),
        }
    }
}

impl Run {
    #[inline]
    pub(super) fn contains(&self, at: usize) -> bool {
        self.range.contains(&at)
    }
}

impl Leases {
    /// Enters a batch; answers what it is called.
    pub(super) fn enter(&mut self, items: &Arc<Items>) -> u64 {
        self.seen += 1;
        self.leases.push(Lease {
            id: self.seen,
            items: Arc::clone(items),
            next: 0,
            adopted: Vec::new(),
        });
        self.seen
    }

    /// A batch is answered to the end.
    pub(super) fn end(&mut self, id: u64) {
        self.leases.retain(|lease| lease.id != id);
    }

    /// The connections of such runs have ended.
    pub(super) fn disturb(&self, is: impl Fn(&Run) -> bool) {
        for lease in &self.leases {
            if lease.items.runs.iter().any(&is) {
                lease.items.disturbed.store(true, Ordering::Release);
            }
        }
    }

    fn lease(&mut self, id: u64) -> &mut Lease {
        let lease = self.leases.iter_mut().find(|lease| lease.id == id);
        lease.expect("invariant: entered until its batch ends it")
    }
}

impl State {
    /// Takes messages into `items`, which is empty, `max` at most, in the order of receipt. Answers whether
    /// there were any; otherwise a pulse is next, or nothing.
    pub(super) fn receive_messages(&mut self, items: &mut Items, max: usize) -> bool {
        // Others that sleep are woken for what is left: it has to be in the table.
        if self.sleepers.is_empty()
            && !self.table.has_any(Want::Anything)
            && let Some(index) = self.only_ready()
        {
            self.take_run(index, items, max);
        }
        if items.len() == 0 {
            self.drain();
            while items.len() < max && self.table.message_is_next() {
                let message = self.table.take_message().expect("invariant: it is next");
                let (entry, inline) = (message.entry, message.inline);
                items.push(
                    self.attached(&message),
                    message.index,
                    Item { entry, inline },
                );
            }
        }
        for run in &items.runs {
            let entries = run.range.clone().map(|at| &items.item(at).entry);
            entries.for_each(|entry| run.attached.report_receipt(entry));
        }
        items.len() > 0
    }

    /// The only connection whose ring has something; `None` as well where each would have to be asked.
    fn only_ready(&self) -> Option<u32> {
        if self.uses_ready_set {
            return None;
        }
        let mut ready = self.looked_at.iter().copied().filter(|index| {
            let connected = self.connections[*index as usize].as_ref();
            connected.is_some_and(|c| c.consumer.is_ready(&c.attached.region))
        });
        ready.next().filter(|_| ready.next().is_none())
    }

    /// Takes messages of one priority straight out of a ring: what else is in it comes later in the order
    /// of receipt. Takes none if that is not so.
    fn take_run(&mut self, index: u32, items: &mut Items, max: usize) {
        let Some(Some(connected)) = self.connections.get_mut(index as usize) else {
            return;
        };
        let attached = Arc::clone(&connected.attached);
        let region = &attached.region;
        let Some(next) = connected
            .consumer
            .peek(region)
            .filter(|next| next.is_message)
        else {
            return;
        };
        if !connected.consumer.is_in_order(region) {
            return;
        }
        let first = items.len();
        while items.len() < max {
            let ahead = connected.consumer.head().wrapping_add(READ_AHEAD);
            region.will_read_entry(ahead);
            let place = items.place();
            match connected.consumer.pop_like(region, next, &mut place.inline) {
                Ok(Some(entry)) if connected.occupy(entry.slot) => {
                    // Its answer is not far.
                    region.will_write_slot(entry.slot);
                    place.entry = entry;
                    items.len += 1;
                }
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => {
                    self.counts.faults += 1;
                    attached.cut();
                    break;
                }
            }
        }
        connected.consumer.publish_head(region);
        attached
            .head_hint
            .store(connected.consumer.head(), Ordering::Relaxed);
        let range = first..items.len();
        if !range.is_empty() {
            items.runs.push(Run {
                attached,
                index,
                range,
            });
        }
    }

    /// Takes the messages `range` of a lease out for their answers: their slots may be used again. Those
    /// that are not the batch's any more are named in `gone`.
    pub(super) fn answer_leased(&mut self, id: u64, range: Range<usize>, gone: &mut Vec<usize>) {
        if self.closed {
            gone.extend(range);
            return;
        }
        let replies = self.counts.replies;
        let lease = self.leases.lease(id);
        lease.next = range.end;
        let items = Arc::clone(&lease.items);
        if !items.is_undisturbed() {
            let adopted = std::mem::take(&mut lease.adopted);
            for (at, rcvid) in &adopted {
                if range.contains(at) && self.answer(*rcvid).is_err() {
                    gone.push(*at);
                }
            }
            self.leases.lease(id).adopted = adopted;
        }
        for run in &items.runs {
            let part = run.range.start.max(range.start)..run.range.end.min(range.end);
            if part.is_empty() {
                continue;
            }
            match self.connected(run.index, &run.attached) {
                Some(connected) => part
                    .filter(|at| !gone.contains(at))
                    .for_each(|at| connected.vacate(items.item(at).entry.slot)),
                None => {
                    let others: Vec<_> = part.filter(|at| !gone.contains(at)).collect();
                    gone.extend(others);
                }
            }
        }
        self.counts.replies = replies + (range.len() - gone.len()) as u64;
    }

    /// The receive id of message `at` of a lease, which it gets now unless it has one. That of a message
    /// whose client has gone finds nothing: the table keeps only what has a connection.
    pub(super) fn rcvid_of_leased(&mut self, id: u64, at: usize) -> Rcvid {
        let lease = self.leases.lease(id);
        if let Some((_, rcvid)) = lease.adopted.iter().find(|(other, _)| *other == at) {
            return *rcvid;
        }
        let items = Arc::clone(&lease.items);
        items.disturbed.store(true, Ordering::Release);
        let rcvid = self.table.adopt(items.in_flight(at));
        let run = items.run_of(at);
        if self.closed || self.connected(run.index, &run.attached).is_none() {
            let gone = self.table.answer(rcvid);
            debug_assert!(gone.is_ok(), "invariant: just adopted");
        }
        self.leases.lease(id).adopted.push((at, rcvid));
        rcvid
    }

    /// Message `at` of a lease is still REPLY-blocked.
    ///
    /// # Errors
    /// `ESRCH` when it is not.
    pub(super) fn check_leased(&mut self, id: u64, at: usize) -> Result<()> {
        if self.closed {
            return Err(Errno::ESRCH);
        }
        let lease = self.leases.lease(id);
        let rcvid = lease.adopted.iter().find(|(other, _)| *other == at);
        if let Some((_, rcvid)) = rcvid {
            return self.table.blocked(*rcvid).map(|_| ());
        }
        let items = Arc::clone(&lease.items);
        let run = items.run_of(at);
        match self.connected(run.index, &run.attached) {
            Some(_) => Ok(()),
            None => Err(Errno::ESRCH),
        }
    }

    /// Gives every leased message that `is`, by the index of its connection and its entry, a receive id, so
    /// that it is found in the table.
    pub(super) fn adopt_leased(&mut self, is: impl Fn(u32, &MessageEntry) -> bool) {
        let mut found = Vec::new();
        for lease in &self.leases.leases {
            for run in &lease.items.runs {
                let here = (run.range.start.max(lease.next)..run.range.end)
                    .filter(|at| is(run.index, &lease.items.item(*at).entry));
                found.extend(here.map(|at| (lease.id, at)));
            }
        }
        for (id, at) in found {
            self.rcvid_of_leased(id, at);
        }
    }
}
