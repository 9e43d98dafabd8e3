//! The mark in a region that its server has ended the connection.
//!
//! A client learns of the end from the hang-up of its socket, and its own memory says so. The mark is for a
//! client that no longer has that socket, because its program closed descriptors it knew nothing of: who is
//! about to sleep looks at it last. A hostile server that sets it ends its connection, as it may anyway; one that
//! takes it back keeps its client waiting, as it may anyway.

use crate::{
    shm::{Region, layout::END_OFFSET},
    sync::{AtomicU32, Ordering},
};

impl Region {
    fn end_word(&self) -> &AtomicU32 {
        self.mapping().atomic_u32(END_OFFSET)
    }

    /// Server: nothing will be answered any more. Wakes whoever sleeps on a slot.
    pub(crate) fn end(&self) {
        // SYNC(life): the mark is written before the slots are looked at, with a fence in between; a sleeper
        // announces itself in its slot before it looks at the mark. One of the two sees the other.
        self.end_word().store(1, Ordering::SeqCst);
        (0..self.layout().slots()).for_each(|slot| {
            self.wake_sleeper(slot);
        });
    }

    /// Client: whether the server said that nothing will come.
    pub(crate) fn is_ended(&self) -> bool {
        self.end_word().load(Ordering::Acquire) != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{
        shm::{Layout, SlotState, Waited},
        sys::memfd,
    };

    #[test]
    fn a_sleeper_leaves_when_the_server_ends_the_connection() {
        let layout = Layout::new(4, 0).unwrap();
        let (client, fd) = Region::create(layout).unwrap();
        assert!(memfd::check_sealed(&fd, layout.len()).is_ok());
        let server = Region::open(&fd, layout).unwrap();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                while !client.is_ended() {
                    let may_sleep = || !client.is_ended();
                    let waited = client.wait_slot(3, 1, SlotState::Waiting, None, may_sleep);
                    assert_eq!(waited, Ok(Waited::Interrupted));
                }
            });
            server.end();
            sleeper.join().unwrap();
        });
    }
}
