//! Whether a signal that its thread handles ends a send.

use std::cell::Cell;

thread_local! {
    static HEEDED: Cell<bool> = const { Cell::new(true) };
}

/// Puts back what was before, also when the work panics.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        HEEDED.set(self.0);
    }
}

/// Does `work`, in which the sends of this thread end with `EINTR` for a signal that it handles only if `heeds` says so:
/// else they wait on once the handler has returned, as Linux does in what concerns files of a disk.
///
/// A client that was interrupted does not know whether its server did what it was asked for: who cannot ask twice
/// does not want to be. A server that never answers holds such a thread until the process is killed.
pub fn heeding_signals<T>(heeds: bool, work: impl FnOnce() -> T) -> T {
    let _restore = Restore(HEEDED.replace(heeds));
    work()
}

/// Whether a signal ends this thread's sends.
pub(super) fn are_heeded() -> bool {
    HEEDED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_heeded_as_the_innermost_work_says() {
        assert!(are_heeded());
        heeding_signals(false, || {
            assert!(!are_heeded());
            heeding_signals(true, || assert!(are_heeded()));
            assert!(!are_heeded());
        });
        assert!(are_heeded());
    }
}
