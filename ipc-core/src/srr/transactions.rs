//! Every message of a channel from its arrival to its answer, by receive id.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{
    abi::{
        Errno, Rcvid, Result,
        limits::{TABLE_SHELF, TABLE_SPARE_SHELVES},
    },
    srr::shelf::{Cell, CellState, Shelf, Unblock},
};

/// A slab whose keys carry a generation: a key of a message that is gone finds nothing (RPL-1).
///
/// A message stays where it arrived until its cell is used again: being received and being answered move nothing.
/// Cells stand on shelves, and the lowest with room takes the next message, so that after a burst the others get
/// empty; an empty one gives its memory back. Generations are counted for the whole slab, not for a cell: a cell
/// that went and came back repeats none.
#[derive(Debug)]
pub(super) struct Transactions<M> {
    /// One without cells is a few words; the first keeps its cells.
    shelves: Vec<Shelf<M>>,
    /// Each shelf that is not full once, the lowest first.
    open: BinaryHeap<Reverse<u32>>,
    /// The memory of shelves that are empty, for those that fill next: at most [`TABLE_SPARE_SHELVES`].
    spare: Vec<Vec<Cell<M>>>,
    /// Of the next message.
    generation: u32,
    reply_blocked: usize,
}

const GENERATION_MASK: u32 = 0x7fff_ffff;

impl<M: Copy> Transactions<M> {
    pub(super) fn new() -> Transactions<M> {
        Transactions {
            shelves: Vec::new(),
            open: BinaryHeap::new(),
            spare: Vec::new(),
            generation: 0,
            reply_blocked: 0,
        }
    }

    /// Takes in the message of a client that is SEND-blocked; answers the receive id it will have.
    #[inline]
    pub(super) fn insert(&mut self, message: M) -> Rcvid {
        let lowest = self.open.peek().map(|lowest| lowest.0);
        let shelf_at = lowest.unwrap_or_else(|| self.add_shelf());
        let shelf = &mut self.shelves[shelf_at as usize];
        if !shelf.has_room_made()
            && let Some(room) = self.spare.pop()
        {
            shelf.give_room(room);
        }
        let generation = self.generation;
        self.generation = generation.wrapping_add(1) & GENERATION_MASK;
        let at = shelf.put(Cell {
            generation,
            state: CellState::SendBlocked,
            message,
        });
        if shelf.is_full() {
            self.open.pop();
        }
        rcvid(shelf_at as usize * TABLE_SHELF + at, generation)
    }

    /// The SEND-blocked client of `id` is REPLY-blocked from now on.
    #[inline]
    pub(super) fn receive(&mut self, id: Rcvid) {
        let cell = self.cell_mut(index(id)).expect("invariant: it waits");
        debug_assert_eq!(cell.state, CellState::SendBlocked);
        cell.state = CellState::ReplyBlocked(Unblock::NotAsked);
        self.reply_blocked += 1;
    }

    /// Whether the client of this id is SEND-blocked.
    #[inline]
    pub(super) fn is_send_blocked(&self, id: Rcvid) -> bool {
        let cell = self.cell(index(id));
        cell.is_some_and(|cell| cell.is_of(id) && cell.state == CellState::SendBlocked)
    }

    /// The message behind a receive id, and whether its client asked to be unblocked.
    #[inline]
    pub(super) fn get(&self, id: Rcvid) -> Result<(&M, Unblock)> {
        let cell = self.cell(index(id)).filter(|cell| cell.is_of(id));
        match cell.map(|cell| (&cell.message, cell.state)) {
            Some((message, CellState::ReplyBlocked(unblock))) => Ok((message, unblock)),
            _ => Err(Errno::ESRCH),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: Rcvid) -> Result<(&mut M, &mut Unblock)> {
        let cell = self.cell_mut(index(id)).filter(|cell| cell.is_of(id));
        match cell.map(|cell| (&mut cell.message, &mut cell.state)) {
            Some((message, CellState::ReplyBlocked(unblock))) => Ok((message, unblock)),
            _ => Err(Errno::ESRCH),
        }
    }

    /// The message in the cell of this number, and which of the two it waits for: to be received, or its answer.
    pub(super) fn at(&self, index: u32) -> Option<(&M, Rcvid, bool)> {
        let cell = self.cell(index as usize)?;
        let id = rcvid(index as usize, cell.generation);
        match cell.state {
            CellState::Free(_) => None,
            CellState::SendBlocked => Some((&cell.message, id, false)),
            CellState::ReplyBlocked(_) => Some((&cell.message, id, true)),
        }
    }

    /// Takes out the message of a REPLY-blocked client after a last look at it, and says whether it asked to be unblocked.
    #[inline]
    pub(super) fn end<R>(&mut self, id: Rcvid, last: impl FnOnce(&M) -> R) -> Result<(R, Unblock)> {
        let (message, unblock) = self.get(id)?;
        let found = last(message);
        self.reply_blocked -= 1;
        self.release(index(id));
        Ok((found, unblock))
    }

    #[cfg(test)]
    pub(super) fn remove(&mut self, id: Rcvid) -> Result<(M, Unblock)> {
        self.end(id, |message| *message)
    }

    /// Takes out the message of a SEND-blocked client, which left the queue.
    pub(super) fn withdraw(&mut self, id: Rcvid) -> M {
        debug_assert!(self.is_send_blocked(id));
        let cell = self.cell(index(id)).expect("invariant: it waits");
        let message = cell.message;
        self.release(index(id));
        message
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) {
        *self = Transactions {
            generation: self.generation,
            ..Transactions::new()
        };
    }

    pub(super) fn send_blocked(&self) -> impl Iterator<Item = &M> {
        let all = self.all();
        all.filter_map(|(_, cell)| (cell.state == CellState::SendBlocked).then_some(&cell.message))
    }

    pub(super) fn reply_blocked(&self) -> impl Iterator<Item = (Rcvid, &M)> {
        self.all()
            .filter(|(_, cell)| matches!(cell.state, CellState::ReplyBlocked(_)))
            .map(|(index, cell)| (rcvid(index, cell.generation), &cell.message))
    }

    pub(super) fn reply_blocked_count(&self) -> usize {
        self.reply_blocked
    }

    /// All cells, the free ones too, with their numbers.
    fn all(&self) -> impl Iterator<Item = (usize, &Cell<M>)> {
        let shelves = self.shelves.iter().enumerate();
        shelves.flat_map(|(shelf_at, shelf)| {
            let cells = shelf.cells().iter().enumerate();
            cells.map(move |(at, cell)| {
                visits::count();
                (shelf_at * TABLE_SHELF + at, cell)
            })
        })
    }

    fn add_shelf(&mut self) -> u32 {
        let at = self.shelves.len();
        let number = at.checked_mul(TABLE_SHELF).map(|first| first + TABLE_SHELF);
        assert!(
            number.is_some_and(|last| u32::try_from(last).is_ok()),
            "invariant: slots bound the messages"
        );
        self.shelves.push(Shelf::new());
        self.open.push(Reverse(at as u32));
        at as u32
    }

    #[inline]
    fn release(&mut self, index: usize) {
        let (shelf_at, at) = (index / TABLE_SHELF, index % TABLE_SHELF);
        let shelf = &mut self.shelves[shelf_at];
        if shelf.is_full() {
            self.open.push(Reverse(shelf_at as u32));
        }
        shelf.free(at);
        if shelf.is_empty() && shelf_at > 0 {
            self.give_back(shelf_at);
        }
    }

    #[cold]
    fn give_back(&mut self, shelf_at: usize) {
        let room = self.shelves[shelf_at].take_room();
        if self.spare.len() < TABLE_SPARE_SHELVES {
            self.spare.push(room);
        }
    }

    #[inline]
    fn cell(&self, index: usize) -> Option<&Cell<M>> {
        visits::count();
        let shelf = self.shelves.get(index / TABLE_SHELF)?;
        shelf.get(index % TABLE_SHELF)
    }

    #[inline]
    fn cell_mut(&mut self, index: usize) -> Option<&mut Cell<M>> {
        visits::count();
        let shelf = self.shelves.get_mut(index / TABLE_SHELF)?;
        shelf.get_mut(index % TABLE_SHELF)
    }

    /// Cells that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let spare: usize = self.spare.iter().map(Vec::capacity).sum();
        self.shelves.iter().map(Shelf::capacity).sum::<usize>() + spare
    }
}

impl<M> Cell<M> {
    fn is_of(&self, id: Rcvid) -> bool {
        i64::from(self.generation) == id.0 >> 32
    }
}

/// The cell of a receive id; none has the number that an id gets which nothing ever had.
fn index(id: Rcvid) -> usize {
    id.place().wrapping_sub(1)
}

fn rcvid(index: usize, generation: u32) -> Rcvid {
    Rcvid(i64::from(generation) << 32 | (index as i64 + 1))
}

/// Cells that were looked at, for tests that bound the work.
pub(crate) mod visits {
    #[cfg(test)]
    thread_local! {
        static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[inline(always)]
    pub(super) fn count() {
        #[cfg(test)]
        VISITS.set(VISITS.get() + 1);
    }

    /// Those of this thread, while it does something.
    #[cfg(test)]
    pub(crate) fn while_doing(act: impl FnOnce()) -> usize {
        let before = VISITS.get();
        act();
        VISITS.get() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_never_finds_the_next_message() {
        let mut table = Transactions::new();
        let first = table.insert('a');
        table.receive(first);
        assert_eq!(table.remove(first), Ok(('a', Unblock::NotAsked)));
        let second = table.insert('b');
        assert_eq!(table.get(first).err(), Some(Errno::ESRCH));
        table.receive(second);
        assert_ne!(first, second);
        assert_eq!((first.place(), second.place()), (1, 1));
        assert_eq!(table.remove(first).err(), Some(Errno::ESRCH));
        assert_eq!(table.get(second), Ok((&'b', Unblock::NotAsked)));
        assert_eq!(table.reply_blocked_count(), 1);
    }

    #[test]
    fn a_message_nobody_received_has_no_id_yet() {
        let mut table = Transactions::new();
        let id = table.insert('a');
        assert_eq!(table.get(id).err(), Some(Errno::ESRCH));
        assert!(table.is_send_blocked(id));
        assert_eq!(table.withdraw(id), 'a');
        assert!(!table.is_send_blocked(id));
        assert_eq!(table.send_blocked().count(), 0);
    }

    #[test]
    fn ids_that_were_never_given_find_nothing() {
        let mut table = Transactions::new();
        let id = table.insert(());
        table.receive(id);
        for other in [0, -1, i64::MIN, i64::MAX, 1 << 32, id.0 + 1, id.0 | 1 << 63] {
            assert_eq!(table.get(Rcvid(other)).err(), Some(Errno::ESRCH));
            assert_eq!(table.get_mut(Rcvid(other)).err(), Some(Errno::ESRCH));
            assert!(!table.is_send_blocked(Rcvid(other)));
        }
    }

    /// As many messages as fill `shelves`, all received.
    fn fill(table: &mut Transactions<usize>, shelves: usize) -> Vec<Rcvid> {
        let ids = (0..shelves * TABLE_SHELF).map(|number| table.insert(number));
        let ids: Vec<Rcvid> = ids.collect();
        ids.iter().for_each(|id| table.receive(*id));
        ids
    }

    #[test]
    fn after_a_burst_the_memory_is_given_back_and_a_few_messages_hold_a_few_shelves() {
        let mut table = Transactions::new();
        let burst = fill(&mut table, 100);
        assert!(table.capacity() >= burst.len());
        // One of each tenth shelf stays: nobody answers it.
        let stays = |at: &usize| at % (10 * TABLE_SHELF) == 7;
        for (at, id) in burst.iter().enumerate() {
            if !stays(&at) {
                assert_eq!(table.remove(*id).map(|(number, _)| number), Ok(at));
            }
        }
        assert!(table.capacity() <= (10 + TABLE_SPARE_SHELVES) * TABLE_SHELF);
        for at in (0..burst.len()).filter(stays) {
            assert_eq!(table.get(burst[at]).map(|(number, _)| *number), Ok(at));
            table.remove(burst[at]).unwrap();
        }
        assert!(table.capacity() <= (1 + TABLE_SPARE_SHELVES) * TABLE_SHELF);
        // Whoever looks through all of them finds no more cells than that.
        let looked = visits::while_doing(|| assert_eq!(table.reply_blocked().count(), 0));
        assert!(looked <= TABLE_SHELF);
    }

    #[test]
    fn the_next_messages_go_to_the_lowest_places() {
        let mut table = Transactions::new();
        let burst = fill(&mut table, 3);
        for at in [2 * TABLE_SHELF + 1, 5, TABLE_SHELF + 2] {
            table.remove(burst[at]).unwrap();
        }
        let places = [(); 4].map(|()| table.insert(0).place());
        assert_eq!(
            places,
            [6, TABLE_SHELF + 3, 2 * TABLE_SHELF + 2, 3 * TABLE_SHELF + 1]
        );
    }

    // covers: RPL-1
    #[test]
    fn ids_from_before_a_burst_was_given_back_find_none_of_the_next_burst() {
        let mut table = Transactions::new();
        let mut stale = Vec::new();
        for _ in 0..4 {
            let burst = fill(&mut table, 2 * TABLE_SPARE_SHELVES);
            for id in &stale {
                assert_eq!(table.get(*id).err(), Some(Errno::ESRCH));
                assert_eq!(table.remove(*id).err(), Some(Errno::ESRCH));
            }
            for id in &burst {
                table.remove(*id).unwrap();
            }
            stale.extend(burst);
        }
        let all: std::collections::BTreeSet<i64> = stale.iter().map(|id| id.0).collect();
        assert_eq!(all.len(), stale.len(), "an id was given twice");
    }

    // covers: RPL-1
    #[test]
    fn generations_that_wrap_keep_ids_positive_and_apart_from_those_just_before() {
        let mut table = Transactions::new();
        table.generation = GENERATION_MASK;
        let last = table.insert('a');
        table.receive(last);
        table.remove(last).unwrap();
        let first = table.insert('b');
        table.receive(first);
        assert!(last.0 > 0 && first.0 > 0);
        assert_eq!(table.get(last).err(), Some(Errno::ESRCH));
        assert_eq!(table.get(first).map(|(message, _)| *message), Ok('b'));
    }
}
