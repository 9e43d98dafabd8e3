//! Unix SEQPACKET sockets that carry small records and file descriptors, and name their peer.

use std::{
    io::IoSlice,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
    time::{Duration, Instant},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    self, AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sockopt,
};

use crate::{
    abi::{Credentials, Errno, Pid, Result, limits::CONTROL_FDS_MAX},
    sys::descriptor::Descriptor,
};

/// A connected SEQPACKET socket. Its hang-up is how each side learns that the other is gone.
#[derive(Debug)]
pub(crate) struct Seqpacket(Descriptor);

/// A received record: how many bytes of it are in the buffer, and the descriptors that came with it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) len: usize,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Seqpacket {
    /// Connects to the listener at `path`. This, and every receive and send after it, waits for at
    /// most `timeout`: a listener whose process is stopped takes so many clients and no more.
    ///
    /// # Errors
    /// `ENOENT` or `ECONNREFUSED` when nobody listens there, `ETIMEDOUT`.
    pub(crate) fn connect(path: &Path, timeout: Duration) -> Result<Seqpacket> {
        let socket = Seqpacket(socket(SockFlag::empty())?);
        socket.set_timeout(timeout)?;
        let (address, started) = (UnixAddr::new(path)?, Instant::now());
        loop {
            match socket::connect(socket.0.raw()?, &address) {
                Ok(()) => return Ok(socket),
                Err(nix::errno::Errno::EINTR) => socket.check_time(started)?,
                Err(nix::errno::Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Whether there is a socket at `path` that nobody listens on any more. Never waits.
    pub(crate) fn is_leftover(path: &Path) -> bool {
        let refused = || -> Result<bool> {
            let socket = socket(SockFlag::SOCK_NONBLOCK)?;
            let connected = socket::connect(socket.raw()?, &UnixAddr::new(path)?);
            Ok(connected == Err(nix::errno::Errno::ECONNREFUSED))
        };
        refused().unwrap_or(false)
    }

    /// Who is at the other end, in the words of the kernel.
    pub(crate) fn peer(&self) -> Result<(Pid, Credentials)> {
        let peer = socket::getsockopt(&self.0, sockopt::PeerCredentials)?;
        Ok((
            Pid(peer.pid()),
            Credentials {
                uid: peer.uid(),
                gid: peer.gid(),
            },
        ))
    }

    /// Whether the socket stays open through an `exec`.
    ///
    /// # Errors
    /// `EBADF` when the program closed it.
    pub(crate) fn survive_exec(&self, survives: bool) -> Result<()> {
        let flags = if survives {
            FdFlag::empty()
        } else {
            FdFlag::FD_CLOEXEC
        };
        self.0.raw()?;
        fcntl(&self.0, FcntlArg::F_SETFD(flags))?;
        Ok(())
    }

    /// Sends one record; never raises SIGPIPE.
    pub(crate) fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_flags(bytes, fds, MsgFlags::MSG_NOSIGNAL)
    }

    /// As [`send`](Self::send), but `EAGAIN` instead of waiting for a peer that does not read.
    pub(crate) fn try_send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_flags(bytes, fds, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
    }

    fn send_flags(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: MsgFlags) -> Result<()> {
        let socket = self.0.raw()?;
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let parts = [IoSlice::new(bytes)];
        let started = Instant::now();
        loop {
            match socket::sendmsg::<()>(socket, &parts, control, flags, None) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(_) => return Err(Errno::EMSGSIZE),
                Err(nix::errno::Errno::EINTR) => self.check_time(started)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for one record. A length of 0 is the hang-up.
    ///
    /// # Errors
    /// `ETIMEDOUT` past the limit given to [`connect`](Self::connect); `EMSGSIZE` for a record that does
    /// not fit `into` or brings more descriptors than one may, `EMFILE` when this process cannot take them.
    pub(crate) fn receive(&self, into: &mut [u8]) -> Result<Record> {
        self.receive_flags(into, MsgFlags::MSG_CMSG_CLOEXEC)
    }

    /// As [`receive`](Self::receive), but `EAGAIN` when nothing is there.
    pub(crate) fn try_receive(&self, into: &mut [u8]) -> Result<Record> {
        self.receive_flags(into, MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT)
    }

    fn receive_flags(&self, into: &mut [u8], flags: MsgFlags) -> Result<Record> {
        let socket = self.0.raw()?;
        let mut control = ControlBuffer([0; CONTROL_SPACE]);
        let mut part = libc::iovec {
            iov_base: into.as_mut_ptr().cast(),
            iov_len: into.len(),
        };
        // SAFETY: a message header is numbers and pointers, for which zeroes are good values.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        let started = Instant::now();
        let len = loop {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_SPACE;
            // SAFETY: the header, the part it points to, `into` and the control buffer live on this stack
            // or in the caller's exclusive borrow for the whole call, and the lengths are theirs.
            let received = unsafe { libc::recvmsg(socket, &raw mut header, flags.bits()) };
            if let Ok(len) = usize::try_from(received) {
                break len;
            }
            match Errno::last() {
                Errno::EINTR => self.check_time(started)?,
                Errno::EAGAIN if !flags.contains(MsgFlags::MSG_DONTWAIT) => {
                    return Err(Errno::ETIMEDOUT);
                }
                error => return Err(error),
            }
        };
        // What arrived is owned before anything else is judged: a record that is refused must not leave
        // its descriptors open.
        let fds = take_descriptors(&header);
        if header.msg_flags & libc::MSG_CTRUNC != 0 && fds.len() < CONTROL_FDS_MAX {
            return Err(Errno::EMFILE);
        }
        if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Record { len, fds })
    }

    /// Bounds how long a receive or a send may wait.
    fn set_timeout(&self, timeout: Duration) -> Result<()> {
        let value = nix::sys::time::TimeVal::new(
            timeout.as_secs().cast_signed(),
            i64::from(timeout.subsec_micros()),
        );
        socket::setsockopt(&self.0, sockopt::ReceiveTimeout, &value)?;
        socket::setsockopt(&self.0, sockopt::SendTimeout, &value)?;
        Ok(())
    }

    /// After a signal the kernel gives a call the whole timeout anew: signals that keep coming are not to make it wait
    /// for ever.
    ///
    /// # Errors
    /// `ETIMEDOUT` a call that started then has had its time.
    fn check_time(&self, started: Instant) -> Result<()> {
        let limit = socket::getsockopt(&self.0, sockopt::ReceiveTimeout)?;
        let limit = Duration::from_secs(limit.tv_sec().unsigned_abs())
            + Duration::from_micros(limit.tv_usec().unsigned_abs());
        if limit.is_zero() || started.elapsed() < limit {
            return Ok(());
        }
        Err(Errno::ETIMEDOUT)
    }

    /// Hangs up, also for duplicates of the descriptor; the peer and our own monitor see it at once. False when
    /// the program closed the descriptor, and nobody here sees anything.
    pub(crate) fn shutdown(&self) -> bool {
        let Ok(socket) = self.0.raw() else {
            return false;
        };
        // A peer that is gone already has hung up for us.
        let _ = socket::shutdown(socket, socket::Shutdown::Both);
        true
    }

    pub(crate) fn fd(&self) -> &Descriptor {
        &self.0
    }
}

/// Room for the descriptors of one record; the kernel closes what does not fit.
#[repr(C, align(8))]
struct ControlBuffer([u8; CONTROL_SPACE]);

// SAFETY: CMSG_SPACE only computes; it has no precondition.
const CONTROL_SPACE: usize =
    unsafe { libc::CMSG_SPACE((CONTROL_FDS_MAX * size_of::<RawFd>()) as u32) } as usize;

const _: () = assert!(align_of::<ControlBuffer>() >= align_of::<libc::cmsghdr>());

/// Takes ownership of every descriptor that came with a received message, also with a truncated one.
fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel has just filled in the header and its control buffer, which are still alive.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !control.is_null() {
        // SAFETY: not null, so it lies in the control buffer, which is aligned for it.
        let message = unsafe { &*control };
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: CMSG_LEN only computes.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (message.cmsg_len - empty) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel wrote `count` descriptors behind the message's header, made for this
                // process in this very call, and nobody else knows their numbers: each is owned once.
                fds.push(unsafe {
                    let data = libc::CMSG_DATA(control).cast::<RawFd>();
                    OwnedFd::from_raw_fd(data.add(index).read_unaligned())
                });
            }
        }
        // SAFETY: as for the first; the kernel keeps the lengths within the buffer.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    fds
}

/// A listening SEQPACKET socket bound to a path.
#[derive(Debug)]
pub(crate) struct Listener(Descriptor);

impl Listener {
    /// Listens at `path`, open to every user of the machine: who may do what is decided per peer.
    ///
    /// # Errors
    /// `EADDRINUSE` when the path exists.
    pub(crate) fn bind(path: &Path) -> Result<Listener> {
        let fd = socket(SockFlag::SOCK_NONBLOCK)?;
        socket::bind(fd.raw()?, &UnixAddr::new(path)?)?;
        let open = nix::sys::stat::Mode::from_bits_truncate(0o666);
        nix::sys::stat::fchmodat(
            nix::fcntl::AT_FDCWD,
            path,
            open,
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )?;
        socket::listen(&fd, Backlog::new(1024).map_err(|_| Errno::EINVAL)?)?;
        Ok(Listener(fd))
    }

    /// The next peer that connected, or `EAGAIN`.
    pub(crate) fn try_accept(&self) -> Result<Seqpacket> {
        let fd = socket::accept4(self.0.raw()?, SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: accept4 just made this descriptor for this process, so it is owned exactly once.
        Descriptor::keep(unsafe { OwnedFd::from_raw_fd(fd) }).map(Seqpacket)
    }

    pub(crate) fn fd(&self) -> &Descriptor {
        &self.0
    }
}

fn socket(flags: SockFlag) -> Result<Descriptor> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let made = socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    Descriptor::keep(made)
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::{
        os::unix::thread::JoinHandleExt,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    use super::*;

    extern "C" fn ignore(_: libc::c_int) {}

    /// The signals come until the wait has ended: one that starts anew with each never does.
    #[test]
    fn signals_do_not_prolong_a_wait() {
        let action = SigAction::new(
            SigHandler::Handler(ignore),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler does nothing, and nobody else in this program has a use for the signal.
        unsafe { sigaction(Signal::SIGURG, &action) }.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("silent.sock");
        let _listener = Listener::bind(&path).unwrap();
        static HAS_ENDED: AtomicBool = AtomicBool::new(false);
        let waiter = thread::spawn(move || {
            let socket = Seqpacket::connect(&path, Duration::from_millis(200)).unwrap();
            let received = socket.receive(&mut [0; 8]);
            HAS_ENDED.store(true, Ordering::Release);
            received.map(|record| record.len)
        });
        while !HAS_ENDED.load(Ordering::Acquire) {
            // SAFETY: the thread has not been joined, so that its handle is valid.
            unsafe { libc::pthread_kill(waiter.as_pthread_t(), libc::SIGURG) };
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(waiter.join().unwrap(), Err(Errno::ETIMEDOUT));
    }
}
