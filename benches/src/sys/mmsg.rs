//! Many frames in one system call: `sendmmsg` and `recvmmsg`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Frames side by side in one buffer, with the headers that the two calls want.
pub struct Batch {
    bytes: Vec<u8>,
    frame_len_max: usize,
    /// Point into `bytes`, whose heap block neither moves nor shrinks while they do.
    _parts: Vec<libc::iovec>,
    /// Point into `_parts`, likewise.
    headers: Vec<libc::mmsghdr>,
}

impl Batch {
    /// Room for `count` frames of up to `frame_len_max` bytes.
    pub fn new(count: usize, frame_len_max: usize) -> Batch {
        let mut bytes = vec![0_u8; count * frame_len_max];
        let mut parts: Vec<libc::iovec> = bytes
            .chunks_exact_mut(frame_len_max)
            .map(|frame| libc::iovec {
                iov_base: frame.as_mut_ptr().cast(),
                iov_len: frame_len_max,
            })
            .collect();
        let headers = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: all fields are integers or pointers, for which zero is a value.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = part;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Batch {
            bytes,
            frame_len_max,
            _parts: parts,
            headers,
        }
    }

    /// Frames it has room for.
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Frame `at`, whole room.
    pub fn frame_mut(&mut self, at: usize) -> &mut [u8] {
        &mut self.bytes[at * self.frame_len_max..][..self.frame_len_max]
    }

    /// Frame `at` as received last.
    pub fn received(&self, at: usize) -> &[u8] {
        let len = self.headers[at].msg_len as usize;
        &self.bytes[at * self.frame_len_max..][..len.min(self.frame_len_max)]
    }

    /// Sends the first `count` frames, each at its full room; all of them, or an error.
    ///
    /// # Errors
    /// ENOBUFS a full queue, ENETDOWN a link that is down.
    pub fn send(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<()> {
        // SAFETY: the headers point to parts and these into the buffer, all owned by `self`, which is borrowed.
        unsafe { send_all(socket, &mut self.headers[..count]) }
    }

    /// Waits for one frame and takes up to `count` of those that are there; answers how many.
    ///
    /// # Errors
    /// What `recvmmsg` answers.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let headers = &mut self.headers[..count];
        loop {
            // SAFETY: as for `send`, for the call; the kernel writes into the buffer, which nobody else refers to.
            let outcome = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr(),
                    headers.len() as libc::c_uint,
                    libc::MSG_WAITFORONE,
                    ptr::null_mut(),
                )
            };
            match outcome {
                done if done > 0 => return Ok(done as usize),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => retry(io::Error::last_os_error())?,
            }
        }
    }
}

/// Sends a frame for each header; all of them, or an error.
///
/// # Safety
/// The headers point to parts, and these to bytes, all of which stay and are not written until it returns.
///
/// # Errors
/// ENOBUFS a full queue, ENETDOWN a link that is down.
pub(super) unsafe fn send_all(
    socket: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
) -> io::Result<()> {
    let mut sent = 0;
    while sent < headers.len() {
        let rest = &mut headers[sent..];
        // SAFETY: the caller keeps what the headers point to; the kernel only reads the bytes.
        let outcome = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr(),
                rest.len() as libc::c_uint,
                0,
            )
        };
        match outcome {
            done if done >= 0 => sent += done as usize,
            _ => retry(io::Error::last_os_error())?,
        }
    }
    Ok(())
}

/// Whether a call is to be made again: a signal ended it.
///
/// # Errors
/// Any other fault.
pub(super) fn retry(fault: io::Error) -> io::Result<()> {
    match fault.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn frames_arrive_in_order_and_whole() {
        let (tx, rx) = UnixDatagram::pair().expect("sockets");
        let mut out = Batch::new(4, 8);
        for at in 0..4 {
            out.frame_mut(at).fill(at as u8);
        }
        out.send(tx.as_fd(), 3).expect("the queue is empty");
        let mut into = Batch::new(4, 16);
        assert_eq!(into.receive(rx.as_fd(), 4).expect("frames are there"), 3);
        assert_eq!(into.received(2), [2; 8]);
    }
}
