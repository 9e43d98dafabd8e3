//! A port: a packet socket on one interface.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{MsgFlags, recv};
use socket2::Socket;
use std::os::fd::AsRawFd;

use crate::frame::{ETHERTYPE, Station};
use crate::support::packet_socket_of;

const FRAME_LEN_MAX: usize = 1 << 16;

/// A packet socket that sends and receives on one interface.
pub(crate) struct Port {
    socket: Socket,
    pub(crate) station: Station,
    buffer: Vec<u8>,
}

impl Port {
    pub(crate) fn open(interface: &str) -> Port {
        let socket = packet_socket_of(interface, ETHERTYPE).expect("the lab's root may");
        Port {
            socket,
            station: station_of(interface),
            buffer: vec![0; FRAME_LEN_MAX],
        }
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        self.socket.send(frame).expect("the cable is plugged in");
    }

    /// A frame that has arrived, if one has.
    pub(crate) fn try_receive(&mut self) -> Option<&[u8]> {
        let fd = self.socket.as_raw_fd();
        match recv(fd, &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(len) => Some(&self.buffer[..len]),
            Err(nix::Error::EAGAIN) => None,
            Err(errno) => panic!("receiving: {}", io::Error::from(errno)),
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The Ethernet address of an interface.
fn station_of(interface: &str) -> Station {
    let mut addresses = getifaddrs().expect("the kernel lists them");
    let station = addresses.find_map(|entry| {
        let is_it = entry.interface_name == interface;
        is_it
            .then(|| entry.address?.as_link_addr()?.addr())
            .flatten()
    });
    station.unwrap_or_else(|| panic!("{interface} has no Ethernet address"))
}
