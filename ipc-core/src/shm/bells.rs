//! The doorbells of one channel or completion queue: one per user id at the other end, and the bits
//! given out of each.

use std::sync::Arc;

use crate::{
    abi::{Errno, Result, limits::DOORBELLS_MAX},
    free_indices::FreeIndices,
    shm::doorbell::{BITS_MAX, Doorbell},
    sys::descriptor::Descriptor,
};

/// All doorbells of a channel, or of a completion queue. The first belongs to the own user and
/// always exists; `T` is whom a bit stands for.
#[derive(Debug)]
pub(crate) struct Bells<T> {
    bells: Vec<Bell<T>>,
}

#[derive(Debug)]
struct Bell<T> {
    uid: u32,
    doorbell: Arc<Doorbell>,
    fd: Arc<Descriptor>,
    holders: Vec<Option<T>>,
    free: FreeIndices,
}

/// A bit of one of the doorbells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BellBit {
    pub(crate) bell: usize,
    pub(crate) bit: u32,
}

impl<T: Clone> Bells<T> {
    pub(crate) fn new() -> Result<Bells<T>> {
        let mut bells = Bells { bells: Vec::new() };
        bells.add(nix::unistd::geteuid().as_raw())?;
        Ok(bells)
    }

    /// Gives `holder` a bit of the doorbell that ringers of `uid` share. The doorbell is made if it is
    /// their first, and then sleepers must be told to watch it.
    ///
    /// # Errors
    /// `EAGAIN` when too many users or connections ask.
    pub(crate) fn give(&mut self, uid: u32, holder: T) -> Result<BellBit> {
        // One whose descriptor the program closed serves those who have it, and cannot be passed on any more.
        let can_be_had = |bell: &Bell<T>| bell.uid == uid && bell.fd.raw().is_ok();
        let bell = match self.bells.iter().position(can_be_had) {
            Some(index) => index,
            None => self.add(uid)?,
        };
        let Bell { holders, free, .. } = &mut self.bells[bell];
        if free.lowest() >= BITS_MAX {
            return Err(Errno::EAGAIN);
        }
        let bit = free.take();
        match holders.get_mut(bit as usize) {
            Some(place) => *place = Some(holder),
            None => holders.push(Some(holder)),
        }
        Ok(BellBit { bell, bit })
    }

    /// Takes a bit back.
    pub(crate) fn take_back(&mut self, at: BellBit) {
        let Bell { holders, free, .. } = &mut self.bells[at.bell];
        if holders[at.bit as usize].take().is_some() {
            free.give_back(at.bit);
        }
    }

    /// The doorbell of a bit, for its ringer or for our own use.
    pub(crate) fn doorbell(&self, at: BellBit) -> (&Arc<Doorbell>, &Arc<Descriptor>) {
        let bell = &self.bells[at.bell];
        (&bell.doorbell, &bell.fd)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Doorbell>> {
        self.bells.iter().map(|bell| &bell.doorbell)
    }

    /// The one doorbell there is, when nobody of another user is connected.
    pub(crate) fn only(&self) -> Option<&Arc<Doorbell>> {
        match self.bells.as_slice() {
            [bell] => Some(&bell.doorbell),
            _ => None,
        }
    }

    /// The doorbell of the own user.
    pub(crate) fn own(&self) -> &Arc<Doorbell> {
        &self.bells[0].doorbell
    }

    /// Takes the ready bits of all doorbells and names their holders.
    pub(crate) fn take_ready(&self, mut each: impl FnMut(&T)) {
        for bell in &self.bells {
            bell.doorbell.take_ready(|bit| {
                if let Some(Some(holder)) = bell.holders.get(bit as usize) {
                    each(holder);
                }
            });
        }
    }

    fn add(&mut self, uid: u32) -> Result<usize> {
        let index = if self.bells.len() < DOORBELLS_MAX {
            self.bells.len()
        } else {
            self.unused().ok_or(Errno::EAGAIN)?
        };
        let (doorbell, fd) = Doorbell::create()?;
        let bell = Bell {
            uid,
            doorbell: Arc::new(doorbell),
            fd: Arc::new(Descriptor::keep(fd)?),
            holders: Vec::new(),
            free: FreeIndices::default(),
        };
        match self.bells.get_mut(index) {
            // A page of its own also here: the former user's processes may still write to the old one.
            Some(unused) => *unused = bell,
            None => self.bells.push(bell),
        }
        Ok(index)
    }

    /// A doorbell, not our own, whose ringers have all gone.
    fn unused(&self) -> Option<usize> {
        let is_unused = |bell: &Bell<T>| bell.free.taken() == 0;
        (1..self.bells.len()).find(|index| is_unused(&self.bells[*index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no fork handlers")]
    fn users_that_have_gone_leave_room_for_others() {
        let mut bells = Bells::new().unwrap();
        let own = nix::unistd::geteuid().as_raw();
        let others = (1..=DOORBELLS_MAX as u32).map(|uid| own.wrapping_add(uid));
        let mut given: Vec<_> = others.map(|uid| bells.give(uid, uid)).collect();
        assert_eq!(given.pop(), Some(Err(Errno::EAGAIN)));
        bells.take_back(given[3].unwrap());
        let newcomer = own.wrapping_sub(1);
        assert_eq!(bells.give(newcomer, newcomer), given[3]);
        assert_eq!(bells.iter().count(), DOORBELLS_MAX);
    }
}
