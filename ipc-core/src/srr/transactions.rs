//! Messages that were received and not yet answered, by receive id.

use crate::abi::{Errno, Rcvid, Result};

/// A slab whose keys carry a generation: a key of an entry that is gone finds nothing (RPL-1).
#[derive(Debug)]
pub(super) struct Transactions<M> {
    entries: Vec<Entry<M>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Entry<M> {
    generation: u32,
    blocked: Option<Blocked<M>>,
}

/// A REPLY-blocked client.
#[derive(Debug)]
pub(super) struct Blocked<M> {
    pub(super) message: M,
    pub(super) unblock_requested: bool,
}

const GENERATION_MASK: u32 = 0x7fff_ffff;

impl<M> Transactions<M> {
    pub(super) fn new() -> Transactions<M> {
        Transactions {
            entries: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn insert(&mut self, message: M) -> Rcvid {
        let blocked = Some(Blocked {
            message,
            unblock_requested: false,
        });
        self.len += 1;
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index as usize].blocked = blocked;
                index
            }
            None => {
                self.entries.push(Entry {
                    generation: 0,
                    blocked,
                });
                u32::try_from(self.entries.len() - 1).expect("invariant: slots bound the messages")
            }
        };
        rcvid(index, self.entries[index as usize].generation)
    }

    pub(super) fn get(&self, id: Rcvid) -> Result<&Blocked<M>> {
        let index = self.index(id)?;
        self.entries[index].blocked.as_ref().ok_or(Errno::ESRCH)
    }

    pub(super) fn remove(&mut self, id: Rcvid) -> Result<Blocked<M>> {
        let index = self.index(id)?;
        let entry = &mut self.entries[index];
        let blocked = entry.blocked.take().ok_or(Errno::ESRCH)?;
        entry.generation = entry.generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(index as u32);
        self.len -= 1;
        Ok(blocked)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Rcvid, &Blocked<M>)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let blocked = entry.blocked.as_ref()?;
                Some((rcvid(index as u32, entry.generation), blocked))
            })
    }

    pub(super) fn find(&self, mut is: impl FnMut(&M) -> bool) -> Option<Rcvid> {
        self.iter()
            .find(|(_, blocked)| is(&blocked.message))
            .map(|(id, _)| id)
    }

    pub(super) fn get_mut(&mut self, id: Rcvid) -> Result<&mut Blocked<M>> {
        let index = self.index(id)?;
        self.entries[index].blocked.as_mut().ok_or(Errno::ESRCH)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn index(&self, id: Rcvid) -> Result<usize> {
        let index = (id.0 as u32).checked_sub(1).ok_or(Errno::ESRCH)? as usize;
        let generation = u32::try_from(id.0 >> 32).map_err(|_| Errno::ESRCH)?;
        match self.entries.get(index) {
            Some(entry) if entry.generation == generation => Ok(index),
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
        let first = table.insert('a');
        assert_eq!(table.remove(first).unwrap().message, 'a');
        let second = table.insert('b');
        assert_ne!(first, second);
        assert_eq!(table.remove(first).err(), Some(Errno::ESRCH));
        assert_eq!(table.get(second).unwrap().message, 'b');
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn ids_that_were_never_given_find_nothing() {
        let table: Transactions<()> = Transactions::new();
        for id in [0, 1, -1, i64::MIN, i64::MAX, 1 << 32] {
            assert_eq!(table.get(Rcvid(id)).err(), Some(Errno::ESRCH));
        }
    }
}
