//! A port of the seeded switch: its packet socket, and the gate that cuts it off.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::netlab::net::PacketSocket;
use crate::netlab::protocol::Cut;

/// How long a frame waits for room at a port, in milliseconds, before it is dropped.
const ROOM_TIMEOUT_MS: u16 = 20;

/// A port.
pub(crate) struct Port {
    /// What arrives from the node, and where to send what goes to it.
    pub socket: PacketSocket,
    /// Shared with the supervisor, who opens and shuts it.
    pub gate: Arc<Gate>,
}

impl Port {
    /// Sends a frame; waits for room if there is none.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        match self.socket.send(frame) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS)) => {
                let mut room = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                poll(&mut room, PollTimeout::from(ROOM_TIMEOUT_MS))?;
                self.socket.send(frame)
            }
            done => done,
        }
    }
}

/// Which directions of a port are silently cut.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    from_shut: AtomicBool,
    to_shut: AtomicBool,
}

impl Gate {
    /// Opens and shuts as `cut` says.
    pub(crate) fn set(&self, cut: Cut) {
        self.from_shut
            .store(matches!(cut, Cut::Both | Cut::From), Ordering::Relaxed);
        self.to_shut
            .store(matches!(cut, Cut::Both | Cut::To), Ordering::Relaxed);
    }

    /// Frames of the node are passed on.
    pub(super) fn lets_in(&self) -> bool {
        !self.from_shut.load(Ordering::Relaxed)
    }

    /// Frames to the node are passed on.
    pub(super) fn lets_out(&self) -> bool {
        !self.to_shut.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_shuts_the_directions_it_is_told_to() {
        let gate = Gate::default();
        let open = |gate: &Gate| (gate.lets_in(), gate.lets_out());
        assert_eq!(open(&gate), (true, true));
        for (cut, expected) in [
            (Cut::From, (false, true)),
            (Cut::To, (true, false)),
            (Cut::Both, (false, false)),
            (Cut::Link, (true, true)),
            (Cut::None, (true, true)),
        ] {
            gate.set(cut);
            assert_eq!(open(&gate), expected, "{cut:?}");
        }
    }
}
