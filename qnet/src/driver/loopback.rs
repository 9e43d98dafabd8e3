//! A wire inside the process: what a test needs to run the real ring without a network's rights.

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
    let station = |socket: Socket, number: u8| FrameSocket {
        fd: socket.into(),
        interface: Interface {
            name: format!("loopback{number}"),
            index: 0,
            mac: Mac([2, 0, 0, 0, 0, number]),
            mtu,
        },
        ethertype,
    };
    Ok((station(one, 1), station(two, 2)))
}
