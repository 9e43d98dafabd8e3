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
    abi::{Errno, Priority, Rcvid, Result},
    channel::{
        attached::{Attached, InFlight},
        state::State,
    },
    shm::{Copied, EntryFlags},
    sys::failpoint::{self, Failpoint},
};

/// The messages of one batch, in the order of receipt. Nobody changes them while a lease shares them.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) runs: Vec<Run>,
    /// Places for messages; the first `len` are taken.
    places: Vec<Copied>,
    pub(super) len: usize,
    /// Some message is no longer REPLY-blocked, or got a receive id: the lease knows which.
    disturbed: AtomicBool,
}

/// Neighbours in a batch that came through one connection at one priority.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) attached: Arc<Attached>,
    pub(super) index: u32,
    pub(super) range: Range<usize>,
    /// Of all its messages.
    pub(super) priority: Priority,
    /// Flags that some message may have, and those that all have.
    pub(super) any: EntryFlags,
    pub(super) all: EntryFlags,
}

/// All leases of a channel.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leases: Vec<Lease>,
    seen: u64,
}

#[derive(Debug)]
pub(super) struct Lease {
    id: u64,
    items: Arc<Items>,
    /// The first message that is not answered.
    next: usize,
    /// Messages behind it that are answered, a bit each; none where all are answered in their order.
    marks: Vec<u64>,
    /// How many these are.
    marked: usize,
    /// Messages that were given a receive id.
    pub(super) adopted: Vec<(usize, Rcvid)>,
}

impl Items {
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
        *self.disturbed.get_mut() = false;
    }

    /// All of them are answered: keeps nothing of their connections, which may have gone, unless a lease does.
    pub(super) fn forget_connections(this: &mut Arc<Items>) {
        if let Some(items) = Arc::get_mut(this) {
            items.runs.clear();
        }
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
    pub(super) fn item(&self, at: usize) -> &Copied {
        &self.places[..self.len][at]
    }

    /// The messages at these positions.
    #[inline]
    pub(super) fn part(&self, range: &Range<usize>) -> &[Copied] {
        &self.places[..self.len][range.clone()]
    }

    /// The places that are free, `max` in all with those that are taken: each is taken by increasing `len`.
    #[inline]
    pub(super) fn free_places(&mut self, max: usize) -> &mut [Copied] {
        if self.places.len() < max {
            self.places.resize_with(max, Copied::default);
        }
        &mut self.places[self.len..max]
    }

    /// Adds a message that came through the connection of this index.
    pub(super) fn push(&mut self, attached: &Arc<Attached>, index: u32, item: Copied) {
        let (at, flags, priority) = (self.len, item.flags(), item.priority());
        self.free_places(at + 1)[0] = item;
        self.len += 1;
        match self.runs.last_mut() {
            Some(run)
                if (run.index, run.attached.id, run.priority) == (index, attached.id, priority) =>
            {
                run.range.end = at + 1;
                (run.any, run.all) = (run.any | flags, run.all & flags);
            }
            _ => self.runs.push(Run {
                attached: Arc::clone(attached),
                index,
                range: at..at + 1,
                priority,
                any: flags,
                all: flags,
            }),
        }
    }

    /// A message as the table keeps it.
    pub(super) fn in_flight(&self, at: usize) -> InFlight {
        let (run, item) = (self.run_of(at), self.item(at));
        InFlight {
            index: run.index,
            entry: item.entry(&run.attached.region),
            inline: item.inline(),
            written: (0, 0),
            return_settled: false,
        }
    }
}

impl Run {
    /// Those of the positions that belong to it.
    #[inline]
    pub(super) fn part(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.range.start.max(range.start);
        start..self.range.end.min(range.end).max(start)
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
            marks: Vec::new(),
            marked: 0,
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

    /// Which message of a lease has this receive id.
    pub(super) fn position(&self, id: u64, rcvid: Rcvid) -> Option<usize> {
        let lease = self.leases.iter().find(|lease| lease.id == id)?;
        let adopted = lease.adopted.iter().find(|(_, its)| *its == rcvid);
        adopted.map(|(at, _)| *at)
    }

    pub(super) fn lease(&mut self, id: u64) -> &mut Lease {
        let lease = self.leases.iter_mut().find(|lease| lease.id == id);
        lease.expect("invariant: entered until its batch ends it")
    }
}

impl Lease {
    /// The messages of a run that are not answered.
    fn unanswered(&self, run: &Run) -> impl Iterator<Item = usize> {
        (run.range.start.max(self.next)..run.range.end).filter(|at| !self.is_marked(*at))
    }

    /// Whether a message was answered out of turn.
    pub(super) fn is_marked(&self, at: usize) -> bool {
        let word = self.marks.get(at / 64);
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// A message is answered, or taken out, out of turn; `false` if it was before, or there is none.
    #[inline]
    pub(super) fn mark(&mut self, at: usize) -> bool {
        if self.marks.is_empty() {
            self.marks.resize(self.items.len().div_ceil(64), 0);
        }
        let (word, bit) = (at / 64, 1 << (at % 64));
        if at >= self.items.len() || self.marks[word] & bit != 0 {
            return false;
        }
        self.marks[word] |= bit;
        self.marked += 1;
        true
    }

    /// Messages that are not, where they are answered out of turn.
    pub(super) fn left(&self) -> usize {
        self.items.len() - self.marked
    }
}

impl State {
    /// Takes the messages `range` of a lease out for their answers: their slots may be used again. Those
    /// that are not the batch's any more are named in `gone`. With its last message the lease ends.
    pub(super) fn answer_leased(
        &mut self,
        id: u64,
        items: &Items,
        range: Range<usize>,
        gone: &mut Vec<usize>,
    ) {
        if self.closed {
            gone.extend(range.clone());
        } else {
            self.take_leased(id, items, range.clone(), gone);
        }
        if range.end == items.len() {
            self.leases.end(id);
        }
    }

    fn take_leased(&mut self, id: u64, items: &Items, range: Range<usize>, gone: &mut Vec<usize>) {
        let replies = self.counts.replies;
        self.leases.lease(id).next = range.end;
        if !items.is_undisturbed() {
            let adopted = std::mem::take(&mut self.leases.lease(id).adopted);
            for (at, rcvid) in &adopted {
                if range.contains(at) && self.answer(*rcvid).is_err() {
                    gone.push(*at);
                }
            }
            self.leases.lease(id).adopted = adopted;
        }
        for run in &items.runs {
            let part = run.part(&range);
            if part.is_empty() {
                continue;
            }
            match self.connected(run.index, &run.attached) {
                Some(connected) if gone.is_empty() => items
                    .part(&part)
                    .iter()
                    .for_each(|item| connected.vacate(item.slot())),
                Some(connected) => part
                    .filter(|at| !gone.contains(at))
                    .for_each(|at| connected.vacate(items.item(at).slot())),
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
        let (rcvid, place) = self.table.adopt(items.in_flight(at));
        let (run, is_closed) = (items.run_of(at), self.closed);
        match self.connected(run.index, &run.attached) {
            Some(connected) if !is_closed => {
                connected.places[items.item(at).slot() as usize] = place;
            }
            _ => {
                let gone = self.table.forget(place);
                debug_assert!(gone.is_some(), "invariant: just adopted");
            }
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

    /// Gives the leased message of a connection that has this slot a receive id, so that it is found in the table.
    /// Looks at that connection's messages alone.
    pub(super) fn adopt_one_leased(&mut self, connection_id: u64, slot: u32, generation: u32) {
        let found = self.leases.leases.iter().find_map(|lease| {
            let runs = lease.items.runs.iter();
            let mut theirs = runs.filter(|run| run.attached.id == connection_id);
            theirs.find_map(|run| {
                let at = lease.unanswered(run).find(|at| {
                    let item = lease.items.item(*at);
                    (item.slot(), item.generation()) == (slot, generation)
                })?;
                Some((lease.id, at))
            })
        });
        if let Some((id, at)) = found {
            self.rcvid_of_leased(id, at);
            failpoint::pass(Failpoint::Adopted);
        }
    }

    /// Gives every leased message a receive id, so that it is found in the table.
    pub(super) fn adopt_leased(&mut self) {
        let mut found = Vec::new();
        for lease in &self.leases.leases {
            let all = lease
                .items
                .runs
                .iter()
                .flat_map(|run| lease.unanswered(run));
            found.extend(all.map(|at| (lease.id, at)));
        }
        for (id, at) in found {
            self.rcvid_of_leased(id, at);
        }
    }
}
