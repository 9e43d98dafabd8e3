//! Tables keyed by the engine's handles.

use qnet_proto::{InboundCall, InboundConn, InboundRun, OutboundCall};

/// A handle of the engine: dense index, and a generation that tells its uses apart.
pub(super) trait Handle: Copy + Eq {
    fn index(self) -> usize;
}

impl Handle for InboundCall {
    fn index(self) -> usize {
        InboundCall::index(self)
    }
}

impl Handle for InboundRun {
    fn index(self) -> usize {
        InboundRun::index(self)
    }
}

impl Handle for InboundConn {
    fn index(self) -> usize {
        InboundConn::index(self)
    }
}

impl Handle for OutboundCall {
    fn index(self) -> usize {
        OutboundCall::index(self)
    }
}

/// What the bridge keeps for each live handle. A stale handle finds nothing.
#[derive(Debug)]
pub(super) struct Handles<H, T> {
    entries: Vec<Option<(H, T)>>,
    /// How many are live: asked in every round, and the table is as long as it ever was.
    live: usize,
}

impl<H, T> Default for Handles<H, T> {
    fn default() -> Handles<H, T> {
        Handles {
            entries: Vec::new(),
            live: 0,
        }
    }
}

impl<H: Handle, T> Handles<H, T> {
    /// Puts what belongs to a new handle. Answers what was there for a former use of the index: one frame
    /// may end a handle and begin the next, and the event of the end is read only after it.
    #[must_use]
    pub(super) fn insert(&mut self, handle: H, value: T) -> Option<(H, T)> {
        let index = handle.index();
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        let entry = &mut self.entries[index];
        // Told apart by hand, so that nothing is copied out where nothing was.
        if entry.is_some() {
            return entry.replace((handle, value));
        }
        *entry = Some((handle, value));
        self.live += 1;
        None
    }

    pub(super) fn get(&self, handle: H) -> Option<&T> {
        match self.entries.get(handle.index()) {
            Some(Some((live, value))) if *live == handle => Some(value),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, handle: H) -> Option<&mut T> {
        match self.entries.get_mut(handle.index()) {
            Some(Some((live, value))) if *live == handle => Some(value),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, handle: H) -> Option<T> {
        self.get(handle)?;
        self.live -= 1;
        self.entries[handle.index()].take().map(|(_, value)| value)
    }

    /// The live handle with this index.
    pub(super) fn at(&self, index: usize) -> Option<H> {
        self.entries.get(index)?.as_ref().map(|(handle, _)| *handle)
    }

    /// Live handles.
    pub(super) fn len(&self) -> usize {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Number(usize, u32);

    impl Handle for Number {
        fn index(self) -> usize {
            self.0
        }
    }

    #[test]
    fn the_count_is_of_what_is_live_whatever_was_there_before() {
        let mut handles = Handles::default();
        assert_eq!(handles.insert(Number(3, 1), 'a'), None);
        assert_eq!(handles.insert(Number(3, 2), 'b'), Some((Number(3, 1), 'a')));
        assert_eq!(handles.insert(Number(0, 1), 'c'), None);
        assert_eq!(handles.len(), 2);
        assert_eq!(handles.remove(Number(3, 1)), None, "a stale handle");
        assert_eq!(handles.remove(Number(3, 2)), Some('b'));
        assert_eq!(handles.remove(Number(3, 2)), None);
        assert_eq!(handles.len(), 1);
    }
}
