//! A run of frames that the thread took from a socket itself, many with one system call.

use std::{
    fmt, io, mem,
    os::fd::{AsFd, AsRawFd},
    ptr,
};

use crate::limits::{RUN_FRAMES_MAX, RUN_FRAMES_MIN, RUN_LEN};

/// The places of a run's frames, and those that are still to be looked at.
pub(super) struct Run {
    bytes: Box<[u8]>,
    frame_len: usize,
    /// One for each place in `bytes`; they point there during a call.
    parts: Box<[libc::iovec]>,
    /// One for each of `parts`, likewise.
    headers: Box<[libc::mmsghdr]>,
    /// The port that the run came through.
    port: u8,
    /// Frames of the run, and how many of them were given.
    count: usize,
    given: usize,
}

impl Run {
    /// Room for frames of up to `frame_len_max` bytes.
    pub(super) fn new(frame_len_max: usize) -> Run {
        // One byte more than a frame may have, so that a longer one shows.
        let frame_len = (frame_len_max + 1).next_multiple_of(64);
        let room = (RUN_LEN / frame_len).clamp(RUN_FRAMES_MIN, RUN_FRAMES_MAX);
        let part = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: frame_len,
        };
        // SAFETY: `mmsghdr` is plain old data for which all zeroes is a valid value.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_iovlen = 1;
        Run {
            bytes: vec![0; room * frame_len].into(),
            frame_len,
            parts: vec![part; room].into(),
            headers: vec![header; room].into(),
            port: 0,
            count: 0,
            given: 0,
        }
    }

    /// Takes what is at the socket of a port, as much as there is room for. Answers whether there may be more; the end
    /// of a loopback pair is a frame without bytes, the last of its run.
    ///
    /// # Errors
    /// What the socket answers.
    ///
    /// # Panics
    /// The run before is not over.
    pub(super) fn receive(&mut self, port: u8, socket: impl AsFd) -> io::Result<bool> {
        assert!(self.is_over(), "a run is looked at before the next one");
        (self.port, self.count, self.given) = (port, 0, 0);
        let places = self.bytes.chunks_exact_mut(self.frame_len);
        for ((place, part), header) in places.zip(&mut self.parts).zip(&mut self.headers) {
            part.iov_base = place.as_mut_ptr().cast();
            header.msg_hdr.msg_iov = part;
        }
        // SAFETY: the descriptor is open. The headers have just been pointed to parts and these to places of their length
        // in the bytes, all of which `self` owns and, borrowed exclusively, nobody else refers to during the call.
        let outcome = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(outcome) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(false),
                io::ErrorKind::Interrupted => Ok(true),
                _ => Err(error),
            };
        };
        let headers = &self.headers[..count];
        let end = headers.iter().position(|header| header.msg_len == 0);
        self.count = end.map_or(count, |at| at + 1);
        Ok(count == self.headers.len())
    }

    /// Goes on to the next frame; the port that it came through, `None` if the run is over.
    pub(super) fn advance(&mut self) -> Option<u8> {
        if self.is_over() {
            return None;
        }
        self.given += 1;
        Some(self.port)
    }

    /// The frame that the run has come to.
    ///
    /// # Panics
    /// There was none.
    pub(super) fn frame(&self) -> &[u8] {
        let at = self.given - 1;
        let len = self.headers[at].msg_len as usize;
        &self.bytes[at * self.frame_len..][..len.min(self.frame_len)]
    }

    /// Whether all its frames were given.
    pub(super) fn is_over(&self) -> bool {
        self.given == self.count
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("port", &self.port)
            .field("count", &self.count)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::FrameSocket;

    #[test]
    fn frames_are_given_in_order_and_each_run_ends() {
        let (one, two) = FrameSocket::loopback_pair(1500, 0x88b5).unwrap();
        let mut run = Run::new(1514);
        assert!(!run.receive(3, &two).unwrap());
        assert!(run.is_over());

        let frames: Vec<Vec<u8>> = (0..RUN_FRAMES_MAX + 3)
            .map(|number| vec![number as u8; 60 + number])
            .collect();
        for frame in &frames {
            nix::unistd::write(&one, frame).unwrap();
        }
        let mut given = Vec::new();
        loop {
            let has_more = run.receive(3, &two).unwrap();
            while let Some(port) = run.advance() {
                assert_eq!(port, 3);
                given.push(run.frame().to_vec());
            }
            if !has_more {
                break;
            }
        }
        assert_eq!(given, frames);
    }

    #[test]
    fn a_frame_that_is_too_long_shows_and_the_end_is_a_frame_without_bytes() {
        let (one, two) = FrameSocket::loopback_pair(1500, 0x88b5).unwrap();
        let mut run = Run::new(1514);
        nix::unistd::write(&one, &[7; 4000]).unwrap();
        drop(one);
        run.receive(0, &two).unwrap();
        run.advance().unwrap();
        assert!(run.frame().len() > 1514);
        run.advance().expect("the end");
        assert_eq!(run.frame(), b"");
        assert!(run.is_over(), "nothing behind the end");
    }
}
