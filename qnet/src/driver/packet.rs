//! The raw packet socket.

use std::{
    io, mem,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::driver::{FrameSocket, Interface, LinkError, claim::Claim};

/// Room for bursts: about 2,000 full frames at MTU 1500 in each direction.
const SOCKET_BUFFER_LEN: usize = 4 << 20;

pub(super) fn open(name: &str, ethertype: u16) -> Result<FrameSocket, LinkError> {
    let interface = Interface::find(name)?;
    // Protocol 0 receives nothing: frames of other interfaces cannot get in before the bind.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))
        .map_err(LinkError::of_packet_socket)?;
    set_option(&socket, libc::PACKET_IGNORE_OUTGOING).map_err(|error| LinkError::Socket {
        what: "set PACKET_IGNORE_OUTGOING (Linux 4.20)",
        error,
    })?;
    // Without it frames only take the longer way through the queueing discipline.
    if let Err(error) = set_option(&socket, libc::PACKET_QDISC_BYPASS) {
        tracing::debug!("PACKET_QDISC_BYPASS is refused: {error}");
    }
    enlarge_buffers(&socket);
    let address = address(&interface, ethertype)?;
    socket.bind(&address).map_err(|error| LinkError::Socket {
        what: "bind the packet socket to the interface",
        error,
    })?;
    let claim = Claim::of(&interface, ethertype)?;
    Ok(FrameSocket {
        fd: OwnedFd::from(socket),
        interface,
        ethertype,
        _claim: Some(claim),
    })
}

fn set_option(socket: &Socket, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open; the kernel reads the four bytes of `on`, which outlives the use.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            ptr::from_ref(&on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Asks past the system's limit, which the right to packet sockets often brings along, then within it.
fn enlarge_buffers(socket: &Socket) {
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        let len = SOCKET_BUFFER_LEN as libc::c_int;
        for option in [force, plain] {
            // SAFETY: the descriptor is open; the kernel reads the four bytes of `len`, which outlives
            // the use.
            let outcome = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    option,
                    ptr::from_ref(&len).cast(),
                    mem::size_of_val(&len) as libc::socklen_t,
                )
            };
            if outcome == 0 {
                break;
            }
        }
    }
}

fn address(interface: &Interface, ethertype: u16) -> Result<SockAddr, LinkError> {
    let link = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: interface.index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the storage is larger than and as aligned as every socket address (POSIX), so that one
    // `sockaddr_ll` can be written at its start; the length stored is that of what was written.
    let address = unsafe {
        SockAddr::try_init(|storage, len| {
            storage.cast::<libc::sockaddr_ll>().write(link);
            *len = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    };
    address
        .map(|((), address)| address)
        .map_err(|error| LinkError::Socket {
            what: "form the packet socket's address",
            error,
        })
}
