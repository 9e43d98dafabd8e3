//! Noticing that the process manager has come back, without polling.

use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};

use crate::{
    abi::{Errno, Result},
    sys::epoll::Known,
};

/// The name under which the process manager answers.
const SOCKET: &str = "1.sock";

/// A watch over the runtime directory: what happens in it from now on is not missed.
pub(super) struct Watch {
    inotify: Known<Inotify>,
}

impl Watch {
    /// Watches the directory.
    ///
    /// # Errors
    /// `ENOENT` it is gone, `EMFILE` and `ENOSPC` the user's limits of inotify.
    pub(super) fn new(dir: &Path) -> Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        // A process manager touches its socket when it is ready, hence the attributes.
        let events =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ATTRIB;
        inotify.add_watch(dir, events | AddWatchFlags::IN_ONLYDIR)?;
        let inotify = Known::keep(inotify)?;
        Ok(Watch { inotify })
    }

    /// Blocks until something has happened to the process manager's socket.
    ///
    /// # Errors
    /// `ENOENT` the directory is gone, and nobody will come back in it; `EBADF` the program closed the watch.
    pub(super) fn wait_for_procmgr(&self) -> Result<()> {
        loop {
            let events = match self.inotify.get()?.read_events() {
                Err(nix::errno::Errno::EINTR) => continue,
                events => events?,
            };
            if events.iter().any(is_procmgr) {
                return Ok(());
            }
            if events
                .iter()
                .any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED))
            {
                return Err(Errno::ENOENT);
            }
        }
    }
}

fn is_procmgr(event: &InotifyEvent) -> bool {
    event.name.as_ref().is_some_and(|name| name == SOCKET)
        || event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_appears_or_is_touched_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(dir.path()).unwrap();
        std::fs::write(dir.path().join("77.sock"), "").unwrap();
        std::fs::write(dir.path().join(SOCKET), "").unwrap();
        watch.wait_for_procmgr().unwrap();
        let touched = std::fs::File::open(dir.path().join(SOCKET)).unwrap();
        let now = std::time::SystemTime::now();
        // Both times: the kernel calls a change of one of them an access or a write.
        touched
            .set_times(
                std::fs::FileTimes::new()
                    .set_accessed(now)
                    .set_modified(now),
            )
            .unwrap();
        watch.wait_for_procmgr().unwrap();
    }

    #[test]
    fn a_directory_that_goes_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(dir.path()).unwrap();
        dir.close().unwrap();
        assert_eq!(watch.wait_for_procmgr(), Err(Errno::ENOENT));
        assert_eq!(
            Watch::new(Path::new("/nonexistent")).err(),
            Some(Errno::ENOENT)
        );
    }
}
