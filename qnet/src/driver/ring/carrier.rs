//! The carriers of the ports: news from the kernel that some link changed, and what the ports' own say then.
//!
//! What is in a message does not count, only that one came: each port is asked itself, so that lost and
//! doubled news do no harm.

use std::{
    cell::UnsafeCell,
    collections::VecDeque,
    io, mem,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use io_uring::{IoUring, opcode, types};
use qnet_proto::LinkId;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::operation::{self, Operation};
use crate::driver::{FrameSocket, LinkError};

/// Bytes of news taken at one time; longer ones are cut, which does not matter.
const NEWS_LEN: usize = 4096;

/// A socket for news of links, the receive that waits on it, and the state of each port.
pub(super) struct Carriers {
    /// `None` for ports without an interface, and where the kernel has no such news.
    socket: Option<OwnedFd>,
    news: Box<UnsafeCell<[u8; NEWS_LEN]>>,
    armed: bool,
    /// As told last.
    up: Vec<bool>,
    changes: VecDeque<(LinkId, bool)>,
}

impl Carriers {
    /// Subscribes to news of links. A port that has no carrier now is the first change.
    pub(super) fn new(ports: &[FrameSocket]) -> Carriers {
        let has_interfaces = ports.iter().any(|port| port.interface.index != 0);
        let socket = has_interfaces.then(subscribe).and_then(|socket| {
            let refused = |error: &io::Error| tracing::warn!("no news of carriers: {error}");
            socket.inspect_err(refused).ok()
        });
        let mut carriers = Carriers {
            socket,
            news: Box::new(UnsafeCell::new([0; NEWS_LEN])),
            armed: false,
            up: vec![true; ports.len()],
            changes: VecDeque::new(),
        };
        carriers.look(ports);
        carriers
    }

    /// The descriptor to be registered with the ring.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Has a receive with the kernel, as the registered `file`.
    ///
    /// # Errors
    /// The ring is broken.
    pub(super) fn arm(&mut self, ring: &mut IoUring, file: types::Fixed) -> Result<(), LinkError> {
        if self.armed || self.socket.is_none() {
            return Ok(());
        }
        let into = self.news.get().cast();
        let receive = opcode::Recv::new(file, into, NEWS_LEN as u32).build();
        // SAFETY: the buffer is boxed, so that it stays where it is, and nobody else touches it; the link
        // frees it only when its `drop` has seen the operation end, and else leaks it.
        unsafe { operation::push(ring, Operation::Carrier, receive)? };
        self.armed = true;
        Ok(())
    }

    /// The receive has completed: with news, or because too many came (ENOBUFS).
    pub(super) fn completed(&mut self, ports: &[FrameSocket]) {
        self.armed = false;
        self.look(ports);
    }

    /// The interface of a port was removed: it does not come back.
    pub(super) fn gone(&mut self, link: LinkId) {
        self.note(link, false);
    }

    /// The next port whose carrier came or went.
    pub(super) fn next(&mut self) -> Option<(LinkId, bool)> {
        self.changes.pop_front()
    }

    /// Whether a change waits to be told.
    pub(super) fn has_change(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether the kernel has the receive.
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Gives the buffer up for good, because the kernel may still write it.
    pub(super) fn leak(&mut self) {
        let empty = Box::new(UnsafeCell::new([0; NEWS_LEN]));
        mem::forget(mem::replace(&mut self.news, empty));
    }

    fn look(&mut self, ports: &[FrameSocket]) {
        for (at, port) in ports.iter().enumerate() {
            if port.interface.index != 0 {
                self.note(LinkId(at as u8), port.interface.has_carrier());
            }
        }
    }

    fn note(&mut self, link: LinkId, is_up: bool) {
        let known = &mut self.up[usize::from(link.0)];
        if *known != is_up {
            *known = is_up;
            self.changes.push_back((link, is_up));
        }
    }
}

/// Opens a route socket that is told of links.
fn subscribe() -> io::Result<OwnedFd> {
    let socket = Socket::new(
        Domain::from(libc::AF_NETLINK),
        Type::RAW,
        Some(Protocol::from(libc::NETLINK_ROUTE)),
    )?;
    // SAFETY: `sockaddr_nl` is plain old data for which all zeroes is a valid value.
    let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_groups = libc::RTMGRP_LINK as u32;
    // SAFETY: the storage is larger than and as aligned as every socket address (POSIX), so that one
    // `sockaddr_nl` can be written at its start; the length stored is that of what was written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, len| {
            storage.cast::<libc::sockaddr_nl>().write(address);
            *len = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            Ok(())
        })?
    };
    socket.bind(&address)?;
    Ok(socket.into())
}
