//! Frames in two parts: a header of one's own, and a body that stays where it is. The kernel gathers a frame that
//! goes out, and scatters one that comes in.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use io_uring::{IoUring, opcode, types};

use super::mmsg::{retry, send_all};

/// Headers side by side, and what the kernel is told of the frames that they begin.
pub struct Gather {
    heads: Vec<u8>,
    head_len: usize,
    /// Point to heads, whose heap block neither moves nor shrinks while they do, and to bodies that one call borrows.
    parts: Vec<[libc::iovec; 2]>,
    /// Point into `parts`, likewise.
    headers: Vec<libc::mmsghdr>,
}

impl Gather {
    /// Room for the headers of `count` frames, `head_len` bytes each.
    pub fn new(count: usize, head_len: usize) -> Gather {
        let mut heads = vec![0_u8; count * head_len];
        let nothing = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let part = |head: &mut [u8]| libc::iovec {
            iov_base: head.as_mut_ptr().cast(),
            iov_len: head_len,
        };
        let mut parts: Vec<[libc::iovec; 2]> = heads
            .chunks_exact_mut(head_len)
            .map(|head| [part(head), nothing])
            .collect();
        let headers = parts
            .iter_mut()
            .map(|parts| {
                // SAFETY: all fields are integers or pointers, for which zero is a value.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = parts.as_mut_ptr();
                header.msg_hdr.msg_iovlen = parts.len();
                header
            })
            .collect();
        Gather {
            heads,
            head_len,
            parts,
            headers,
        }
    }

    /// Header number `at`.
    pub fn head_mut(&mut self, at: usize) -> &mut [u8] {
        &mut self.heads[at * self.head_len..][..self.head_len]
    }

    /// Sends a frame for each body, behind the headers from the first on; all of them, or an error.
    ///
    /// # Errors
    /// ENOBUFS a full queue, ENETDOWN a link that is down.
    pub fn send(&mut self, socket: BorrowedFd<'_>, bodies: &[&[u8]]) -> io::Result<()> {
        self.point(bodies);
        // SAFETY: the headers point to parts, these to heads of `self` and to bodies, all of which are borrowed.
        unsafe { send_all(socket, &mut self.headers[..bodies.len()]) }
    }

    fn point(&mut self, bodies: &[&[u8]]) {
        for (parts, body) in self.parts[..bodies.len()].iter_mut().zip(bodies) {
            parts[1] = libc::iovec {
                iov_base: body.as_ptr().cast_mut().cast(),
                iov_len: body.len(),
            };
        }
    }
}

/// The same through an io_uring over one socket.
pub struct GatherRing {
    /// Dropped first: closing it ends what the kernel still does with the headers.
    ring: IoUring,
    gather: Gather,
    /// A call failed: the kernel may still have sends, whose bodies are nobody's to keep any more.
    is_broken: bool,
}

impl GatherRing {
    /// A ring over `socket`, with room for the headers of `count` frames, `head_len` bytes each.
    ///
    /// # Errors
    /// EPERM where io_uring is forbidden, ENOMEM.
    pub fn new(socket: BorrowedFd<'_>, count: usize, head_len: usize) -> io::Result<GatherRing> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(count.next_power_of_two() as u32)?;
        ring.submitter().register_files(&[socket.as_raw_fd()])?;
        let gather = Gather::new(count, head_len);
        Ok(GatherRing {
            ring,
            gather,
            is_broken: false,
        })
    }

    /// As [`Gather::head_mut`].
    pub fn head_mut(&mut self, at: usize) -> &mut [u8] {
        self.gather.head_mut(at)
    }

    /// As [`Gather::send`]; waits until all are out.
    ///
    /// # Errors
    /// The first that a send or the call answers; after one of the call the ring is of no more use.
    pub fn send(&mut self, bodies: &[&[u8]]) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.is_broken = true;
        self.gather.point(bodies);
        for header in &self.gather.headers[..bodies.len()] {
            let entry = opcode::SendMsg::new(types::Fixed(0), &raw const header.msg_hdr).build();
            // SAFETY: header, parts and heads live and stay in place as long as `self`, the bodies as long as this
            // call, which does not return before all sends have completed, but with an error: then the ring is never
            // entered again, and without that the kernel (no polling thread, deferred work) starts no send.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.map_err(|_| io::Error::other("the submission queue holds a whole batch"))?;
        }
        let mut done = 0;
        let mut fault = None;
        while done < bodies.len() {
            self.ring.submit_and_wait(bodies.len() - done)?;
            for completion in self.ring.completion() {
                done += 1;
                if completion.result() < 0 {
                    fault = Some(io::Error::from_raw_os_error(-completion.result()));
                }
            }
        }
        self.is_broken = false;
        fault.map_or(Ok(()), Err)
    }
}

/// Looks at the first bytes of the next frame, which it waits for, and leaves the frame where it is.
///
/// # Errors
/// What `recv` answers.
pub fn peek(socket: BorrowedFd<'_>, head: &mut [u8]) -> io::Result<usize> {
    receive_parts(socket, &mut [part(head)], libc::MSG_PEEK)
}

/// Waits for a frame: its first bytes into `head`, as many as it holds, all others into `body`. Answers the length of both.
///
/// # Errors
/// What `recvmsg` answers.
pub fn receive(socket: BorrowedFd<'_>, head: &mut [u8], body: &mut [u8]) -> io::Result<usize> {
    receive_parts(socket, &mut [part(head), part(body)], 0)
}

fn part(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

/// The parts must be of slices that the caller borrows exclusively meanwhile.
fn receive_parts(
    socket: BorrowedFd<'_>,
    parts: &mut [libc::iovec],
    flags: libc::c_int,
) -> io::Result<usize> {
    // SAFETY: all fields are integers or pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len();
    loop {
        // SAFETY: header and parts live through the call, which writes only into the parts; `peek` and `receive`, the
        // only callers, make them of slices that they borrow exclusively.
        let outcome = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        match usize::try_from(outcome) {
            Ok(len) => return Ok(len),
            Err(_) => retry(io::Error::last_os_error())?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_frame_of_two_parts_arrives_as_one_and_is_taken_apart_again() {
        let (tx, rx) = UnixDatagram::pair().expect("sockets");
        let mut gather = Gather::new(2, 2);
        gather.head_mut(0).copy_from_slice(b"h0");
        gather.head_mut(1).copy_from_slice(b"h1");
        gather
            .send(tx.as_fd(), &[b"first", b"second"])
            .expect("the queue is empty");
        let mut whole = [0; 16];
        assert_eq!(rx.recv(&mut whole).expect("it is there"), 7);
        assert_eq!(&whole[..7], b"h0first");

        let (mut head, mut body) = ([0; 2], [0; 16]);
        assert_eq!(peek(rx.as_fd(), &mut head).expect("it is there"), 2);
        assert_eq!(&head, b"h1");
        let len = receive(rx.as_fd(), &mut head, &mut body).expect("a look takes nothing away");
        assert_eq!((len, &head, &body[..6]), (8, b"h1", b"second".as_slice()));
    }

    #[test]
    fn a_ring_gathers_as_well() {
        let (tx, rx) = UnixDatagram::pair().expect("sockets");
        let mut gather = GatherRing::new(tx.as_fd(), 2, 1).expect("a ring");
        gather.head_mut(0).copy_from_slice(b"a");
        gather.head_mut(1).copy_from_slice(b"b");
        gather.send(&[b"1", b"2"]).expect("the queue is empty");
        let mut frame = [0; 4];
        for expected in [b"a1", b"b2"] {
            assert_eq!(rx.recv(&mut frame).expect("it is there"), 2);
            assert_eq!(&frame[..2], expected);
        }
    }
}
