//! Cells that are taken and given back to the allocator together.

use crate::abi::limits::TABLE_SHELF;

/// A row of at most [`TABLE_SHELF`] cells. The one invariant: a cell is in use or among the free ones, and a new one is
/// made only when none is free.
#[derive(Debug)]
pub(super) struct Shelf<M> {
    cells: Vec<Cell<M>>,
    used: u16,
    /// The free cell that was used last; [`NONE`] when none is free.
    first_free: u16,
}

#[derive(Debug)]
pub(super) struct Cell<M> {
    /// Of its message.
    pub(super) generation: u32,
    pub(super) state: CellState,
    /// Of a free cell: what was there last.
    pub(super) message: M,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellState {
    /// And the next that is free.
    Free(u16),
    SendBlocked,
    ReplyBlocked(Unblock),
}

/// Whether a client that is REPLY-blocked wants out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unblock {
    NotAsked,
    /// Its pulse waits.
    Queued,
    /// The server has its pulse.
    Told,
}

/// No place on a shelf.
const NONE: u16 = u16::MAX;

const _: () = assert!(TABLE_SHELF < NONE as usize);

impl<M> Shelf<M> {
    pub(super) fn new() -> Shelf<M> {
        Shelf {
            cells: Vec::new(),
            used: 0,
            first_free: NONE,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        usize::from(self.used) == TABLE_SHELF
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether it has memory for cells, free or in use.
    pub(super) fn has_room_made(&self) -> bool {
        self.cells.capacity() > 0
    }

    /// Puts a cell on a shelf that is not full; answers where.
    #[inline]
    pub(super) fn put(&mut self, cell: Cell<M>) -> usize {
        self.used += 1;
        let at = usize::from(self.first_free);
        if let Some(free) = self.cells.get_mut(at) {
            let CellState::Free(next) = free.state else {
                unreachable!("invariant: in use and among the free ones");
            };
            self.first_free = next;
            *free = cell;
            return at;
        }
        debug_assert!(self.cells.len() < TABLE_SHELF);
        self.cells.push(cell);
        self.cells.len() - 1
    }

    /// The cell at `at` is free from now on.
    #[inline]
    pub(super) fn free(&mut self, at: usize) {
        self.cells[at].state = CellState::Free(self.first_free);
        self.first_free = at as u16;
        self.used -= 1;
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&Cell<M>> {
        self.cells.get(at)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Cell<M>> {
        self.cells.get_mut(at)
    }

    /// All cells, the free ones too, by their place.
    pub(super) fn cells(&self) -> &[Cell<M>] {
        &self.cells
    }

    /// Cells that there is memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.cells.capacity()
    }

    /// Takes the memory of an empty shelf away.
    pub(super) fn take_room(&mut self) -> Vec<Cell<M>> {
        debug_assert!(self.is_empty());
        self.first_free = NONE;
        let mut room = std::mem::take(&mut self.cells);
        room.clear();
        room
    }

    /// Gives a shelf without memory what another one had.
    pub(super) fn give_room(&mut self, room: Vec<Cell<M>>) {
        debug_assert!(!self.has_room_made() && room.is_empty());
        self.cells = room;
    }
}
