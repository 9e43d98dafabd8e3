//! Storage with dense indices and generations: a stale handle finds nothing.

/// Values that keep their index while they live; indices are used again, generations are not.
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All that is stored, in no order. It costs what there ever was at one time.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    /// Stores `value`; answers its index and generation.
    pub(super) fn insert(&mut self, value: T) -> (u32, u32) {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return (index, slot.generation);
        }
        let index = u32::try_from(self.slots.len()).expect("limits keep a slab below 2^32 entries");
        self.slots.push(Slot {
            generation: 1,
            value: Some(value),
        });
        (index, 1)
    }

    pub(super) fn find(&self, index: u32, generation: u32) -> Option<&T> {
        visits::count();
        let slot = self.slots.get(index as usize)?;
        if slot.generation == generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    pub(super) fn find_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        visits::count();
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation == generation {
            slot.value.as_mut()
        } else {
            None
        }
    }

    pub(super) fn remove(&mut self, index: u32, generation: u32) -> Option<T> {
        visits::count();
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(index);
        self.len -= 1;
        Some(value)
    }

    /// Drops a value where it is, after a last look at it.
    pub(super) fn end<R>(
        &mut self,
        index: u32,
        generation: u32,
        last: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        let found = last(self.find(index, generation)?);
        let slot = &mut self.slots[index as usize];
        slot.value = None;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(index);
        self.len -= 1;
        Some(found)
    }

    /// What is stored at an index, and its generation.
    pub(super) fn at(&self, index: u32) -> Option<(u32, &T)> {
        let slot = self.slots.get(index as usize)?;
        visits::count();
        let value = slot.value.as_ref()?;
        Some((slot.generation, value))
    }

    /// What is stored at an index.
    pub(super) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        let slot = self.slots.get_mut(index as usize)?;
        visits::count();
        slot.value.as_mut()
    }
}

/// Slots that were looked at, for tests that bound the work.
pub(super) mod visits {
    #[cfg(test)]
    thread_local! {
        static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[inline]
    pub(super) fn count() {
        #[cfg(test)]
        VISITS.set(VISITS.get() + 1);
    }

    /// Those of this thread, while it does something.
    #[cfg(test)]
    pub(in crate::engine) fn while_doing(act: impl FnOnce()) -> usize {
        let before = VISITS.get();
        act();
        VISITS.get() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_finds_nothing_after_its_index_was_used_again() {
        let mut slab = Slab::new();
        let (index, old) = slab.insert("first");
        assert_eq!(slab.remove(index, old), Some("first"));
        let (again, new) = slab.insert("second");
        assert_eq!(again, index);
        assert_eq!(slab.find(index, old), None);
        assert_eq!(slab.remove(index, old), None);
        assert_eq!(slab.end(index, old, |value| *value), None);
        assert_eq!(slab.find(index, new), Some(&"second"));
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.end(index, new, |value| *value), Some("second"));
        assert_eq!((slab.find(index, new), slab.len()), (None, 0));
    }
}
