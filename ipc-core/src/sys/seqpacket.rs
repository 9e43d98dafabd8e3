//! Unix SEQPACKET sockets that carry small records and file descriptors, and name their peer.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
    time::Duration,
};

use nix::sys::socket::{
    self, AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag,
    SockType, UnixAddr, sockopt,
};

use crate::abi::{Credentials, Errno, Pid, Result, limits::CONTROL_FDS_MAX};

/// A connected SEQPACKET socket. Its hang-up is how each side learns that the other is gone.
#[derive(Debug)]
pub(crate) struct Seqpacket(OwnedFd);

/// A received record: how many bytes of it are in the buffer, and the descriptors that came with it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) len: usize,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Seqpacket {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    /// `ENOENT` or `ECONNREFUSED` when nobody listens there.
    pub(crate) fn connect(path: &Path) -> Result<Seqpacket> {
        let fd = socket(SockFlag::empty())?;
        socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Seqpacket(fd))
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

    /// Sends one record; never raises SIGPIPE.
    pub(crate) fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_flags(bytes, fds, MsgFlags::MSG_NOSIGNAL)
    }

    /// As [`send`](Self::send), but `EAGAIN` instead of waiting for a peer that does not read.
    pub(crate) fn try_send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_flags(bytes, fds, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)
    }

    fn send_flags(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: MsgFlags) -> Result<()> {
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let parts = [IoSlice::new(bytes)];
        loop {
            match socket::sendmsg::<()>(self.0.as_raw_fd(), &parts, control, flags, None) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(_) => return Err(Errno::EMSGSIZE),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for one record. A length of 0 is the hang-up.
    ///
    /// # Errors
    /// `ETIMEDOUT` past the limit of [`set_timeout`](Self::set_timeout); `EMSGSIZE` for a record that
    /// does not fit `into`.
    pub(crate) fn receive(&self, into: &mut [u8]) -> Result<Record> {
        self.receive_flags(into, MsgFlags::MSG_CMSG_CLOEXEC)
    }

    /// As [`receive`](Self::receive), but `EAGAIN` when nothing is there.
    pub(crate) fn try_receive(&self, into: &mut [u8]) -> Result<Record> {
        self.receive_flags(into, MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT)
    }

    fn receive_flags(&self, into: &mut [u8], flags: MsgFlags) -> Result<Record> {
        let mut control = nix::cmsg_space!([RawFd; CONTROL_FDS_MAX]);
        let mut parts = [IoSliceMut::new(into)];
        let message = loop {
            match socket::recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Ok(message) => break message,
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) if !flags.contains(MsgFlags::MSG_DONTWAIT) => {
                    return Err(Errno::ETIMEDOUT);
                }
                Err(error) => return Err(error.into()),
            }
        };
        let mut fds = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                // SAFETY: the kernel made these descriptors for this process in this very call and
                // nobody else knows their numbers, so each is owned exactly once.
                fds.extend(
                    raw.into_iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                );
            }
        }
        if message
            .flags
            .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC)
        {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Record {
            len: message.bytes,
            fds,
        })
    }

    /// Bounds how long a receive or a send may wait.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> Result<()> {
        let value = nix::sys::time::TimeVal::new(
            timeout.as_secs().cast_signed(),
            i64::from(timeout.subsec_micros()),
        );
        socket::setsockopt(&self.0, sockopt::ReceiveTimeout, &value)?;
        socket::setsockopt(&self.0, sockopt::SendTimeout, &value)?;
        Ok(())
    }

    /// Hangs up, also for duplicates of the descriptor; the peer and our own monitor see it at once.
    pub(crate) fn shutdown(&self) {
        // A peer that is gone already has hung up for us: nothing is left to do then.
        let _ = socket::shutdown(self.0.as_raw_fd(), socket::Shutdown::Both);
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

/// A listening SEQPACKET socket bound to a path.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// Listens at `path`, open to every user of the machine: who may do what is decided per peer.
    ///
    /// # Errors
    /// `EADDRINUSE` when the path exists.
    pub(crate) fn bind(path: &Path) -> Result<Listener> {
        let fd = socket(SockFlag::SOCK_NONBLOCK)?;
        socket::bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
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
        let fd = socket::accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: accept4 just made this descriptor for this process, so it is owned exactly once.
        Ok(Seqpacket(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

fn socket(flags: SockFlag) -> Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    Ok(socket::socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        flags,
        None,
    )?)
}
