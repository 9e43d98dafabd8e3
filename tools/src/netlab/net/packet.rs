//! Packet sockets on the ports of the lab's switch: for the seeded switch and for captures.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recv, recvmsg, send, setsockopt, sockopt};

use crate::netlab::sys;

/// The largest Ethernet frame a veth carries: a 65535-byte payload, the header, and a VLAN tag.
pub(crate) const FRAME_LEN_MAX: usize = 65_535 + 14 + 4;

/// What stands before each frame of a socket opened with [`PacketSocket::open_port`]: the state of
/// its checksum and segmentation, which has to travel with it.
pub(crate) const VIRTIO_HEADER_LEN: usize = 10;

/// Frames of a burst wait here, in bytes, while the receiver is not running.
const RECEIVE_BUFFER_LEN: i32 = 16 * 1024 * 1024;
const PACKET_IGNORE_OUTGOING: i32 = 23;
const PACKET_VNET_HDR: i32 = 15;

/// A packet socket bound to one interface; it sees what arrives there, not what is sent.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    socket: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket that never blocks, for a port of the seeded switch. Frames are read and
    /// written with a [`VIRTIO_HEADER_LEN`] header, so that unfinished checksums and large segments
    /// of the nodes' own TCP pass as they would through a bridge.
    ///
    /// # Errors
    /// EPERM no right to packet sockets, ENODEV no such interface.
    pub(crate) fn open_port(index: u32) -> io::Result<PacketSocket> {
        let port = PacketSocket::open(index, true)?;
        sys::set_int_option(&port.socket, libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
        sys::set_promiscuous(&port.socket, index)?;
        Ok(port)
    }

    /// Opens a socket whose frames carry the time of their arrival, for a capture.
    ///
    /// # Errors
    /// EPERM no right to packet sockets, ENODEV no such interface.
    pub(crate) fn open_capture(index: u32) -> io::Result<PacketSocket> {
        let capture = PacketSocket::open(index, true)?;
        setsockopt(&capture.socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(capture)
    }

    /// A socket that another process opened and passed on.
    pub(crate) fn from_received(socket: OwnedFd) -> PacketSocket {
        PacketSocket { socket }
    }

    /// The descriptor, to pass it on.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.socket
    }

    fn open(index: u32, nonblocking: bool) -> io::Result<PacketSocket> {
        let socket = sys::packet_socket(index, nonblocking)?;
        sys::set_int_option(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        let force = libc::SO_RCVBUFFORCE;
        if sys::set_int_option(&socket, libc::SOL_SOCKET, force, RECEIVE_BUFFER_LEN).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &(RECEIVE_BUFFER_LEN as usize))?;
        }
        Ok(PacketSocket { socket })
    }

    /// Takes a frame that has arrived; `None` if there is none.
    ///
    /// # Errors
    /// ENETDOWN the port is down.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(len) => Ok(Some(len)),
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes a frame that has arrived and the time it did, since 1970; `None` if there is none.
    ///
    /// # Errors
    /// ENETDOWN the port is down.
    pub(crate) fn try_receive_stamped(
        &self,
        buffer: &mut [u8],
    ) -> io::Result<Option<(usize, Duration)>> {
        let mut control = nix::cmsg_space!(libc::timespec);
        let mut parts = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        match recvmsg::<()>(fd, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT) {
            Ok(message) => {
                let stamp = message.cmsgs()?.find_map(|control| match control {
                    ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                    _ => None,
                });
                Ok(stamp.map(|at| (message.bytes, at)))
            }
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// ENETDOWN the port is down, EAGAIN or ENOBUFS its queue is full.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
