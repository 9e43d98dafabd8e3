//! Frames so long that it pays to look at them before they are received: their first bytes tell where the rest is
//! wanted, and the kernel puts it there.
//!
//! The socket has one reader, so that the frame that was looked at is the frame that is received. Should it have
//! changed in between all the same (its sender may share its memory with the kernel), it is dropped.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
};

use crate::{driver::Hole, limits::HOLE_LEN_MIN};

/// Bytes that are looked at: all headers, and as many acknowledgements as usually come.
const HEAD_LEN: usize = 256;

/// The place of the one frame that the thread looks at.
pub(super) struct Peeked {
    bytes: Box<[u8]>,
    len: usize,
    has_hole: bool,
}

/// What came of looking for a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there.
    Frame,
    /// There was one, and it is of no use.
    Dropped,
    /// There is none.
    Nothing,
    /// There will be none any more: the other end of a loopback pair has gone.
    End,
}

impl Peeked {
    /// A place for frames of up to `frame_len_max` bytes.
    pub(super) fn new(frame_len_max: usize) -> Peeked {
        // One byte more than a frame may have, so that a longer one shows.
        let bytes = vec![0; (frame_len_max + 1).max(HEAD_LEN)].into();
        Peeked {
            bytes,
            len: 0,
            has_hole: false,
        }
    }

    /// The frame received last. What was put elsewhere is not in it.
    pub(super) fn frame(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether a part of it was put elsewhere.
    pub(super) fn has_hole(&self) -> bool {
        self.has_hole
    }

    /// Receives the next frame. `place` is shown a long one before: its bytes up to the given length are true, and it
    /// may say where some of those that are not are to be put.
    ///
    /// # Errors
    /// What the socket answers.
    pub(super) fn receive(
        &mut self,
        socket: impl AsFd,
        place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> io::Result<Outcome> {
        (self.len, self.has_hole) = (0, false);
        let socket = socket.as_fd();
        let peek = libc::MSG_PEEK | libc::MSG_TRUNC;
        let Some(len) = receive(socket, &mut [part(&mut self.bytes[..HEAD_LEN])], peek)? else {
            return Ok(Outcome::Nothing);
        };
        if len == 0 {
            return Ok(Outcome::End);
        }
        let known = len.min(HEAD_LEN);
        let hole = match self.bytes.get(..len) {
            Some(frame) if len >= HOLE_LEN_MIN => place(frame, known),
            _ => None,
        };
        let hole = hole.filter(|hole| hole.at <= known && hole.end() <= len);
        let Some(hole) = hole else {
            let received = receive(socket, &mut [part(&mut self.bytes)], 0)?;
            self.len = received.unwrap_or(0);
            return Ok(Outcome::Frame);
        };
        let (at, end) = (hole.at, hole.end());
        let mut seen = [0; HEAD_LEN];
        seen[..at].copy_from_slice(&self.bytes[..at]);
        let (before, behind) = self.bytes.split_at_mut(end);
        let placed = libc::iovec {
            iov_base: hole.bytes.as_mut_ptr().cast(),
            iov_len: hole.bytes.len(),
        };
        let mut parts = [part(&mut before[..at]), placed, part(behind)];
        let received = receive(socket, &mut parts, 0)?;
        if received != Some(len) || self.bytes[..at] != seen[..at] {
            return Ok(Outcome::Dropped);
        }
        (self.len, self.has_hole) = (len, true);
        Ok(Outcome::Frame)
    }
}

impl fmt::Debug for Peeked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

fn part(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

/// One `recvmsg` that does not wait: how long the frame is, or `None` if there is none.
///
/// The parts must be memory that the caller may have written: slices it holds exclusively, or the room of a loan.
fn receive(
    socket: BorrowedFd<'_>,
    parts: &mut [libc::iovec],
    flags: libc::c_int,
) -> io::Result<Option<usize>> {
    let mut header = libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: parts.as_mut_ptr(),
        msg_iovlen: parts.len() as _,
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    };
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the descriptor is open; header and parts live through the call, which writes only into the parts.
    // `Peeked::receive`, the only caller, makes them of slices that it borrows exclusively meanwhile, and of a hole
    // whose bytes stay mapped as long as it holds it and are its maker's to write: no reference to them exists.
    let outcome = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    match usize::try_from(outcome) {
        Ok(len) => Ok(Some(len)),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            error => Err(error),
        },
    }
}
