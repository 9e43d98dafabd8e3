//! A wire inside the process: what a test needs to run the real ring without a network's rights.

use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};

use crate::driver::{FrameSocket, Interface, LinkError, Mac};

/// Room for bursts before sends fail.
const BUFFER_LEN: usize = 4 << 20;

pub(super) fn pair(mtu: usize, ethertype: u16) -> Result<(FrameSocket, FrameSocket), LinkError> {
    // SEQPACKET keeps the frames apart and holds a sender back instead of dropping.
    let (one, two) =
        Socket::pair(Domain::UNIX, Type::SEQPACKET, None).map_err(|error| LinkError::Socket {
            what: "open a loopback pair",
            error,
        })?;
    for socket in [&one, &two] {
        // The default holds a few hundred small frames; what the system's limit cuts off is no fault.
        let _ = socket.set_send_buffer_size(BUFFER_LEN);
    }
    Ok((
        end(one.into(), 1, mtu, ethertype),
        end(two.into(), 2, mtu, ethertype),
    ))
}

pub(super) fn end(fd: OwnedFd, number: u8, mtu: usize, ethertype: u16) -> FrameSocket {
    FrameSocket {
        fd,
        interface: Interface {
            name: format!("loopback{number}"),
            index: 0,
            mac: Mac([2, 0, 0, 0, 0, number]),
            mtu,
        },
        ethertype,
        _claim: None,
    }
}
