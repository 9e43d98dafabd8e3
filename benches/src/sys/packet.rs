//! Raw packet sockets, bound to one interface and EtherType.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};

/// IEEE local experimental EtherType 2: beside Qnet's own, so that neither sees the other's frames.
pub const ETHERTYPE: u16 = 0x88B6;

const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// A bound packet socket; frames carry their Ethernet header.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    flags: MsgFlags,
}

impl PacketSocket {
    /// Opens it for [`ETHERTYPE`] in the process's network namespace; `spin` makes receiving poll instead of sleep.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, ENODEV for a wrong index.
    pub fn open(interface: u32, spin: bool) -> io::Result<PacketSocket> {
        PacketSocket::open_type(interface, spin, ETHERTYPE)
    }

    /// The same for another EtherType.
    ///
    /// # Errors
    /// As [`PacketSocket::open`].
    pub fn open_type(interface: u32, spin: bool, ethertype: u16) -> io::Result<PacketSocket> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        for option in [libc::PACKET_QDISC_BYPASS, PACKET_IGNORE_OUTGOING] {
            set_option(&socket, option)?;
        }
        bind(&socket, interface, ethertype)?;
        let flags = if spin {
            MsgFlags::MSG_DONTWAIT
        } else {
            MsgFlags::empty()
        };
        Ok(PacketSocket { socket, flags })
    }

    /// Lets the socket hold `len` bytes of frames not yet received, as the kernel counts them.
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN.
    pub fn set_receive_buffer(&self, len: usize) -> io::Result<()> {
        Ok(setsockopt(&self.socket, sockopt::RcvBufForce, &len)?)
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// ENOBUFS a full queue, ENETDOWN a link that is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// Waits for one frame and says its length.
    ///
    /// # Errors
    /// What `recv` answers.
    pub fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.socket.as_raw_fd(), frame, self.flags) {
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
                outcome => return Ok(outcome?),
            }
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn set_option(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an int that outlives the call, and its size is what is stated.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn bind(socket: &OwnedFd, interface: u32, ethertype: u16) -> io::Result<()> {
    // SAFETY: all fields of `sockaddr_ll` are integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = interface as i32;
    // SAFETY: the address outlives the call and its length is what is stated.
    let outcome = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
