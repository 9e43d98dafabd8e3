//! Route netlink: the few messages the lab needs, built and checked by hand.
//!
//! A socket speaks for the network namespace its thread was in when it was opened, and goes on doing
//! so wherever the thread moves to.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    socket,
};

/// Bytes one answer of the kernel may have; a link with all its attributes takes about 2 KiB.
const ANSWER_LEN_MAX: usize = 32 * 1024;
const HEADER_LEN: usize = 16;

/// One netlink message under construction: header, fixed part, attributes.
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Starts a message of `kind` (`RTM_*`) with the fixed part that this kind carries.
    pub(super) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Message {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Message { bytes }
    }

    /// Appends an attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Message {
        let len = (4 + value.len()) as u16;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// Appends a zero-terminated string.
    pub(super) fn text(self, kind: u16, value: &str) -> Message {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Appends an attribute whose value is what `fill` appends (after `prefix`, unpadded fixed bytes).
    pub(super) fn nested(
        mut self,
        kind: u16,
        prefix: &[u8],
        fill: impl FnOnce(Message) -> Message,
    ) -> Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(prefix);
        self.pad();
        let mut filled = fill(self);
        let len = (filled.bytes.len() - start) as u16;
        filled.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        filled
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let len = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A route netlink socket of one network namespace.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// What the kernel says; a system without netlink has no network namespaces either.
    pub(super) fn open() -> io::Result<Netlink> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Netlink {
            socket,
            sequence: 0,
        })
    }

    /// Sends a change and waits until the kernel has made it.
    ///
    /// # Errors
    /// The errno with which the kernel refused.
    pub(super) fn change(&mut self, message: Message) -> io::Result<()> {
        self.exchange(message, libc::NLM_F_ACK).map(|_| ())
    }

    /// Sends a query for one object and returns its fixed part and attributes.
    ///
    /// # Errors
    /// The errno with which the kernel refused.
    pub(super) fn query(&mut self, message: Message) -> io::Result<Vec<u8>> {
        self.exchange(message, 0)?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    fn exchange(&mut self, mut message: Message, flags: i32) -> io::Result<Option<Vec<u8>>> {
        self.sequence += 1;
        let all = u16::from_ne_bytes([message.bytes[6], message.bytes[7]]) | flags as u16;
        message.bytes[6..8].copy_from_slice(&all.to_ne_bytes());
        let bytes = message.finish(self.sequence);
        sendto(
            self.socket.as_raw_fd(),
            &bytes,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        )?;
        let mut buffer = vec![0; ANSWER_LEN_MAX];
        loop {
            let len = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            if let Some(answer) = parse_answer(&buffer[..len], self.sequence)? {
                return Ok(answer);
            }
        }
    }
}

/// The answer to `sequence` in `bytes`: `Some(None)` an acknowledgement, `Some(Some(body))` an object,
/// `None` something that belongs to an older exchange.
fn parse_answer(bytes: &[u8], sequence: u32) -> io::Result<Option<Option<Vec<u8>>>> {
    if bytes.len() < HEADER_LEN {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let word =
        |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if word(8) != sequence {
        return Ok(None);
    }
    let kind = i32::from(u16::from_ne_bytes([bytes[4], bytes[5]]));
    if kind != libc::NLMSG_ERROR {
        let end = (word(0) as usize).clamp(HEADER_LEN, bytes.len());
        return Ok(Some(Some(bytes[HEADER_LEN..end].to_vec())));
    }
    if bytes.len() < HEADER_LEN + 4 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match word(HEADER_LEN) as i32 {
        0 => Ok(Some(None)),
        negative => Err(io::Error::from_raw_os_error(-negative)),
    }
}

/// The attributes in `bytes`, as (kind, value); stops at the first one that does not fit.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
        let kind = u16::from_ne_bytes([*bytes.get(2)?, *bytes.get(3)?]);
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & !(libc::NLA_F_NESTED as u16), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let message = Message::new(libc::RTM_NEWLINK, 0, &[0; 4])
            .text(libc::IFLA_IFNAME, "eth0")
            .nested(libc::IFLA_LINKINFO, &[], |inner| inner.attribute(1, &[7]));
        let bytes = message.finish(9);
        assert_eq!(bytes.len() % 4, 0);
        let found: Vec<_> = attributes(&bytes[HEADER_LEN + 4..]).collect();
        assert_eq!(found[0], (libc::IFLA_IFNAME, b"eth0\0".as_slice()));
        assert_eq!(attributes(found[1].1).next(), Some((1, [7].as_slice())));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_truncated_attribute_ends_the_list() {
        assert_eq!(attributes(&[8, 0, 1, 0, 1]).count(), 0);
        assert_eq!(attributes(&[2, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn an_answer_to_an_older_message_is_passed_over() {
        let mut bytes = Message::new(libc::NLMSG_ERROR as u16, 0, &[0; 4]).finish(1);
        assert!(parse_answer(&bytes, 2).expect("well formed").is_none());
        assert_eq!(parse_answer(&bytes, 1).expect("well formed"), Some(None));
        bytes[16..20].copy_from_slice(&(-libc::EPERM).to_ne_bytes());
        assert_eq!(
            parse_answer(&bytes, 1).expect_err("refused").raw_os_error(),
            Some(libc::EPERM)
        );
    }
}
