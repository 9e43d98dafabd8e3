//! A datagram socket whose datagrams are whole Ethernet frames.

use std::{
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use crate::driver::{
    ETHERNET_HEADER_LEN, Interface, LinkError, Mac, claim::Claim, loopback, packet,
};

/// What the kernel tells of a socket's memory: words, of which the last says how many datagrams found no room
/// (`SK_MEMINFO_DROPS`).
const MEMORY_WORDS: usize = 9;

/// A socket that sends and receives one Ethernet frame per datagram, and what is known of its station.
#[derive(Debug)]
pub struct FrameSocket {
    pub(super) fd: OwnedFd,
    pub(super) interface: Interface,
    pub(super) ethertype: u16,
    /// Keeps other nodes off the interface; a loopback pair has none.
    pub(super) _claim: Option<Claim>,
}

impl FrameSocket {
    /// Opens a packet socket on an interface for frames of one EtherType.
    ///
    /// # Errors
    /// The interface is absent or no Ethernet, or its MTU too small; the process lacks CAP_NET_RAW; another qnet
    /// has the interface and the EtherType.
    pub fn packet(interface: &str, ethertype: u16) -> Result<FrameSocket, LinkError> {
        packet::open(interface, ethertype)
    }

    /// Two stations joined by a wire inside this process, with the addresses `02:00:00:00:00:01` and
    /// `..:02`. Needs no right; frames get lost only when the receiver does not keep up.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn loopback_pair(
        mtu: usize,
        ethertype: u16,
    ) -> Result<(FrameSocket, FrameSocket), LinkError> {
        loopback::pair(mtu, ethertype)
    }

    /// One end of such a pair that another process made: station `number` of the two, with the pair's MTU and
    /// EtherType.
    pub fn loopback_end(fd: OwnedFd, number: u8, mtu: usize, ethertype: u16) -> FrameSocket {
        loopback::end(fd, number, mtu, ethertype)
    }

    /// The interface the socket is bound to.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Bytes of frames that the socket keeps while the thread is busy, as a careful guess: the kernel counts
    /// its own overhead too, which for full frames is about as much again.
    pub fn receive_window_len(&self) -> usize {
        let len = socket2::SockRef::from(&self.fd).recv_buffer_size();
        len.map_or(0, |len| len / 2)
    }

    /// Frames that found no room in the socket's buffer since it was opened, modulo 2^32.
    pub(super) fn overflowed(&self) -> u64 {
        let mut words = [0_u32; MEMORY_WORDS];
        let mut len = mem::size_of_val(&words) as libc::socklen_t;
        // SAFETY: the descriptor is open; the kernel writes at most `len` bytes, which are those of `words`, and the
        // length it wrote to `len`. Both outlive the call, and any bits are a word.
        let outcome = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                words.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        // A kernel that does not tell (before Linux 4.12) has left the zeros.
        if outcome == 0 {
            u64::from(words[MEMORY_WORDS - 1])
        } else {
            0
        }
    }

    /// Whether a received frame is meant for this link at all.
    pub(super) fn is_ours(&self, frame: &[u8]) -> bool {
        let to = &frame[..6];
        frame[12..ETHERNET_HEADER_LEN] == self.ethertype.to_be_bytes()
            && (to == self.interface.mac.0 || to == Mac::BROADCAST.0)
    }
}

impl From<FrameSocket> for OwnedFd {
    fn from(socket: FrameSocket) -> OwnedFd {
        socket.fd
    }
}

impl AsFd for FrameSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
