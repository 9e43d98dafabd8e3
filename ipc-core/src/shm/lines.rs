//! Where the entries and slots of a region lie, for whoever works through many of them.
//!
//! It is held by value: a loop that asked the region for each would read from memory again and again where
//! the mapping starts and how long it is, as what it stores could be just that, for all the compiler knows.

use crate::{
    shm::{
        Layout, Region, Slot,
        layout::ENTRY_LEN,
        record::{Base, Record},
    },
    sync::AtomicU32,
};

/// The entries and slots of a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a> {
    base: Base<'a>,
    layout: Layout,
}

impl Region {
    /// Its entries and slots.
    #[inline(always)]
    pub(crate) fn lines(&self) -> Lines<'_> {
        Lines {
            base: self.mapping().base(),
            layout: self.layout(),
        }
    }
}

impl<'a> Lines<'a> {
    /// Slots there are.
    #[inline(always)]
    pub(super) fn slots(self) -> u32 {
        self.layout.slots()
    }

    /// The entry at a ring position.
    #[inline(always)]
    pub(super) fn entry(self, position: u32) -> Record<'a, ENTRY_LEN> {
        // SAFETY: a region's mapping has as many bytes as its layout says, which was checked when it was made or
        // opened; every entry that the layout names, whatever the position, lies inside, at a multiple of its
        // length, which is one of sixteen.
        unsafe { self.base.record(self.layout.entry(position)) }
    }

    /// A slot.
    ///
    /// # Panics
    /// When there is no such slot.
    #[inline(always)]
    pub(crate) fn slot(self, index: u32) -> Slot<'a> {
        // SAFETY: as in `entry`; the layout names no slot that does not exist.
        Slot::of(unsafe { self.base.record(self.layout.slot(index)) })
    }

    /// The sequence word of an entry.
    #[inline(always)]
    pub(super) fn sequence(self, position: u32) -> &'a AtomicU32 {
        self.entry(position).atomic_u32::<0>()
    }

    /// Client: the entry at ring position `position` will be written.
    #[inline(always)]
    pub(crate) fn will_write_entry(self, position: u32) {
        self.entry(position).prefetch::<true>();
    }

    /// Server: the entry at ring position `position` will be read.
    #[inline(always)]
    pub(crate) fn will_read_entry(self, position: u32) {
        self.entry(position).prefetch::<false>();
    }

    /// Server: the answer to the message of `slot` will be written.
    #[inline(always)]
    pub(crate) fn will_write_slot(self, slot: u32) {
        self.slot(slot).prefetch::<true>();
    }

    /// Client: the answer in `slot` will be read.
    #[inline(always)]
    pub(crate) fn will_read_slot(self, slot: u32) {
        self.slot(slot).prefetch::<false>();
    }
}

const _: () = assert!(ENTRY_LEN.is_multiple_of(16) && super::layout::SLOT_LEN.is_multiple_of(16));
