//! Frames that leave with one `sendmmsg`, in their order: those of long messages, whose bytes the kernel gathers from where
//! they lie. It takes less for one of them than an entry in the ring does.
//!
//! They are at the kernel when the call returns: no completion tells of them.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd},
};

use crate::limits::TX_BUFFERS_MAX;

/// A run of frames through one port, which has not left yet.
pub(super) struct Gathered {
    /// One for each frame; each points to parts of the buffer in the same place of `slots`.
    headers: Vec<libc::mmsghdr>,
    slots: Vec<u16>,
    port: u8,
}

/// What became of the frames of a run that were handed over last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Those that the kernel took, and their bytes.
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Those that it refused, and the error number of the last.
    pub(super) refused: u64,
    pub(super) errno: i32,
}

impl Gathered {
    /// No frames.
    pub(super) fn new() -> Gathered {
        Gathered {
            headers: Vec::with_capacity(TX_BUFFERS_MAX),
            slots: Vec::with_capacity(TX_BUFFERS_MAX),
            port: 0,
        }
    }

    /// The port of the run, if there are frames.
    pub(super) fn port(&self) -> Option<u8> {
        (!self.slots.is_empty()).then_some(self.port)
    }

    /// Adds the frame in the buffer `slot`, which `header` tells of.
    ///
    /// # Panics
    /// The frames before go through another port.
    pub(super) fn push(&mut self, port: u8, slot: u16, header: libc::msghdr) {
        assert!(self.port().is_none_or(|its| its == port), "one port a run");
        self.port = port;
        self.slots.push(slot);
        self.headers.push(libc::mmsghdr {
            msg_hdr: header,
            msg_len: 0,
        });
    }

    /// Hands all frames over. One that is refused does not keep those behind it.
    ///
    /// # Safety
    /// What the headers point to must be there, and be the caller's, until this returns; other processes may change the
    /// bytes, not unmap them.
    pub(super) unsafe fn send(&mut self, socket: impl AsFd) -> Sent {
        let socket = socket.as_fd().as_raw_fd();
        let mut outcome = Sent::default();
        let mut rest = self.headers.as_mut_slice();
        while !rest.is_empty() {
            // SAFETY: the descriptor is open; there are as many headers, borrowed exclusively, and for what they point to
            // the caller's promise holds.
            let taken = unsafe {
                libc::sendmmsg(
                    socket,
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            };
            let taken = match usize::try_from(taken) {
                Ok(taken) if taken > 0 => {
                    let lens = rest[..taken].iter().map(|header| u64::from(header.msg_len));
                    outcome.bytes += lens.sum::<u64>();
                    outcome.frames += taken as u64;
                    taken
                }
                _ => {
                    outcome.errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
                    outcome.refused += 1;
                    1
                }
            };
            rest = &mut rest[taken..];
        }
        self.headers.clear();
        outcome
    }

    /// The buffers of the frames that were handed over.
    pub(super) fn take_slots(&mut self) -> impl Iterator<Item = u16> {
        self.slots.drain(..)
    }
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered")
            .field("slots", &self.slots)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
