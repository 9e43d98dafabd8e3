//! Whether the paths that a piece of work names are served at all.

use std::cell::Cell;

/// What is to be found out about the walks of this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    Off,
    On,
    FoundUnserved,
}

thread_local! {
    static WATCH: Cell<Watch> = const { Cell::new(Watch::Off) };
}

/// Puts the former watch back, also when the work panics.
struct Restore(Watch);

impl Drop for Restore {
    fn drop(&mut self) {
        WATCH.set(self.0);
    }
}

/// Does `work`; `None` if it named a path for which no server of this node's pathname space has registered, and
/// nothing was done with that path. A directory that only the process manager lists counts as served where this machine
/// has nothing of that path; a node without process manager serves nothing.
///
/// For who would fall back to something else, such as the system's own files: the process manager is asked
/// once, by the work itself. What the work returns for such a path is dropped.
pub fn if_served<T>(work: impl FnOnce() -> T) -> Option<T> {
    let _restore = Restore(WATCH.replace(Watch::On));
    let done = work();
    (WATCH.get() != Watch::FoundUnserved).then_some(done)
}

/// Whether the work of this thread wants to know.
pub(super) fn is_watched() -> bool {
    WATCH.get() != Watch::Off
}

/// A path of this thread's work is not served.
pub(super) fn note_unserved() {
    WATCH.set(Watch::FoundUnserved);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_served_paths_is_done_and_other_work_is_not() {
        assert_eq!(if_served(|| 1), Some(1));
        assert_eq!(if_served(note_unserved), None);
        assert_eq!(if_served(|| if_served(note_unserved)), Some(None));
        assert!(!is_watched());
    }
}
