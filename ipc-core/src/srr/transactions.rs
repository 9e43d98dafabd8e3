//! Every message of a channel from its arrival to its answer, by receive id.

use crate::abi::{Errno, Rcvid, Result};

/// A slab whose keys carry a generation: a key of a message that is gone finds nothing (RPL-1).
///
/// A message stays where it arrived until its cell is used again: being received and being answered
/// move nothing.
#[derive(Debug)]
pub(super) struct Transactions<M> {
    cells: Vec<Cell<M>>,
    free: Vec<u32>,
    reply_blocked: usize,
}

#[derive(Debug)]
struct Cell<M> {
    generation: u32,
    state: CellState,
    unblock_requested: bool,
    /// Of a free cell: what was there last.
    message: M,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellState {
    Free,
    SendBlocked,
    ReplyBlocked,
}

const GENERATION_MASK: u32 = 0x7fff_ffff;

impl<M: Copy> Transactions<M> {
    pub(super) fn new() -> Transactions<M> {
        Transactions {
            cells: Vec::new(),
            free: Vec::new(),
            reply_blocked: 0,
        }
    }

    /// Takes in the message of a client that is SEND-blocked; answers its index.
    pub(super) fn insert(&mut self, message: M) -> u32 {
        if let Some(index) = self.free.pop() {
            let cell = &mut self.cells[index as usize];
            cell.message = message;
            cell.state = CellState::SendBlocked;
            cell.unblock_requested = false;
            return index;
        }
        self.cells.push(Cell {
            generation: 0,
            state: CellState::SendBlocked,
            unblock_requested: false,
            message,
        });
        u32::try_from(self.cells.len() - 1).expect("invariant: slots bound the messages")
    }

    /// The SEND-blocked client at `index` is REPLY-blocked from now on.
    pub(super) fn receive(&mut self, index: u32) -> (Rcvid, &M) {
        let cell = &mut self.cells[index as usize];
        debug_assert_eq!(cell.state, CellState::SendBlocked);
        cell.state = CellState::ReplyBlocked;
        self.reply_blocked += 1;
        (rcvid(index, cell.generation), &cell.message)
    }

    /// The message behind a receive id, and whether its client asked to be unblocked.
    pub(super) fn get(&self, id: Rcvid) -> Result<(&M, bool)> {
        let cell = &self.cells[self.index(id)?];
        Ok((&cell.message, cell.unblock_requested))
    }

    pub(super) fn get_mut(&mut self, id: Rcvid) -> Result<&mut M> {
        let index = self.index(id)?;
        Ok(&mut self.cells[index].message)
    }

    /// The message at `index`, if it waits there or for its answer, with its receive id in the latter case.
    pub(super) fn at(&self, index: u32) -> Option<(&M, Option<Rcvid>)> {
        let cell = self.cells.get(index as usize)?;
        match cell.state {
            CellState::Free => None,
            CellState::SendBlocked => Some((&cell.message, None)),
            CellState::ReplyBlocked => Some((&cell.message, Some(rcvid(index, cell.generation)))),
        }
    }

    /// Notes that a REPLY-blocked client asked to be unblocked; answers whether it had before.
    pub(super) fn request_unblock(&mut self, id: Rcvid) -> Result<bool> {
        let index = self.index(id)?;
        Ok(std::mem::replace(
            &mut self.cells[index].unblock_requested,
            true,
        ))
    }

    /// Takes out the message of a REPLY-blocked client, and says whether it asked to be unblocked.
    pub(super) fn remove(&mut self, id: Rcvid) -> Result<(&M, bool)> {
        let index = self.index(id)?;
        self.reply_blocked -= 1;
        let cell = self.release(index as u32);
        Ok((&cell.message, cell.unblock_requested))
    }

    /// Takes out the message of a SEND-blocked client, which left the queue.
    pub(super) fn withdraw(&mut self, index: u32) -> M {
        debug_assert_eq!(self.cells[index as usize].state, CellState::SendBlocked);
        self.release(index).message
    }

    pub(super) fn send_blocked(&self) -> impl Iterator<Item = (u32, &M)> {
        self.all(CellState::SendBlocked)
            .map(|(index, cell)| (index, &cell.message))
    }

    pub(super) fn reply_blocked(&self) -> impl Iterator<Item = (Rcvid, &M)> {
        self.all(CellState::ReplyBlocked)
            .map(|(index, cell)| (rcvid(index, cell.generation), &cell.message))
    }

    pub(super) fn reply_blocked_count(&self) -> usize {
        self.reply_blocked
    }

    fn all(&self, state: CellState) -> impl Iterator<Item = (u32, &Cell<M>)> {
        let cells = self.cells.iter().enumerate();
        cells
            .filter(move |(_, cell)| cell.state == state)
            .map(|(index, cell)| (index as u32, cell))
    }

    fn release(&mut self, index: u32) -> &Cell<M> {
        self.free.push(index);
        let cell = &mut self.cells[index as usize];
        cell.state = CellState::Free;
        cell.generation = cell.generation.wrapping_add(1) & GENERATION_MASK;
        cell
    }

    fn index(&self, id: Rcvid) -> Result<usize> {
        let index = id.place().checked_sub(1).ok_or(Errno::ESRCH)?;
        let generation = u32::try_from(id.0 >> 32).map_err(|_| Errno::ESRCH)?;
        match self.cells.get(index) {
            Some(cell)
                if cell.generation == generation && cell.state == CellState::ReplyBlocked =>
            {
                Ok(index)
            }
            _ => Err(Errno::ESRCH),
        }
    }
}

fn rcvid(index: u32, generation: u32) -> Rcvid {
    Rcvid(i64::from(generation) << 32 | i64::from(index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_never_finds_the_next_message() {
        let mut table = Transactions::new();
        let index = table.insert('a');
        let (first, _) = table.receive(index);
        assert_eq!(table.remove(first), Ok((&'a', false)));
        let index = table.insert('b');
        assert_eq!(table.get(first).err(), Some(Errno::ESRCH));
        let (second, _) = table.receive(index);
        assert_ne!(first, second);
        assert_eq!((first.place(), second.place()), (1, 1));
        assert_eq!(table.remove(first).err(), Some(Errno::ESRCH));
        assert_eq!(table.get(second), Ok((&'b', false)));
        assert_eq!(table.reply_blocked_count(), 1);
    }

    #[test]
    fn a_message_nobody_received_has_no_id_yet() {
        let mut table = Transactions::new();
        let index = table.insert('a');
        assert_eq!(table.get(rcvid(index, 0)).err(), Some(Errno::ESRCH));
        assert_eq!(table.withdraw(index), 'a');
        assert_eq!(table.send_blocked().count(), 0);
    }

    #[test]
    fn ids_that_were_never_given_find_nothing() {
        let table: Transactions<()> = Transactions::new();
        for id in [0, 1, -1, i64::MIN, i64::MAX, 1 << 32] {
            assert_eq!(table.get(Rcvid(id)).err(), Some(Errno::ESRCH));
        }
    }
}
