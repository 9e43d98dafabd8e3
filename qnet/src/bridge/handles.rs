//! Tables keyed by the engine's handles.

use qnet_proto::{InboundCall, InboundConn, OutboundCall};

/// A handle of the engine: dense index, and a generation that tells its uses apart.
pub(super) trait Handle: Copy + Eq {
    fn index(self) -> usize;
}

impl Handle for InboundCall {
    fn index(self) -> usize {
        InboundCall::index(self)
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
pub(super) struct Handles<H, T>(Vec<Option<(H, T)>>);

impl<H: Handle, T> Handles<H, T> {
    pub(super) fn new() -> Handles<H, T> {
        Handles(Vec::new())
    }

    /// Puts what belongs to a new handle. Answers what was there for a former use of the index: one frame
    /// may end a handle and begin the next, and the event of the end is read only after it.
    pub(super) fn insert(&mut self, handle: H, value: T) -> Option<(H, T)> {
        let index = handle.index();
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index].replace((handle, value))
    }

    pub(super) fn get(&self, handle: H) -> Option<&T> {
        match self.0.get(handle.index()) {
            Some(Some((live, value))) if *live == handle => Some(value),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, handle: H) -> Option<&mut T> {
        match self.0.get_mut(handle.index()) {
            Some(Some((live, value))) if *live == handle => Some(value),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, handle: H) -> Option<T> {
        self.get(handle)?;
        self.0[handle.index()].take().map(|(_, value)| value)
    }

    /// The live handle with this index.
    pub(super) fn at(&self, index: usize) -> Option<H> {
        self.0.get(index)?.as_ref().map(|(handle, _)| *handle)
    }

    /// Live handles.
    pub(super) fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }
}
