//! Links of one network namespace: veth pairs, the bridge, up and down, addresses, counters.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use serde::{Deserialize, Serialize};

use super::netlink::{Message, Netlink, attributes};

const VETH_INFO_PEER: u16 = 1;
const BRIDGE_MULTICAST_SNOOPING: u16 = 23;
const IFINFO_LEN: usize = 16;

/// What is known of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// Index within its namespace.
    pub index: u32,
    /// Administratively up.
    pub up: bool,
    /// Up, and so is the other end.
    pub carrier: bool,
    /// Largest payload of a frame, in bytes.
    pub mtu: u32,
    /// Frames received, and their bytes.
    pub rx: Traffic,
    /// Frames sent, and their bytes.
    pub tx: Traffic,
}

/// Frames and bytes that passed a link in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames.
    pub frames: u64,
    /// Bytes, with Ethernet headers.
    pub bytes: u64,
    /// Frames thrown away by the kernel.
    pub dropped: u64,
}

/// Both ends of a veth pair about to be made.
pub struct Veth<'a> {
    /// Name of the end that stays in this namespace.
    pub port: &'a str,
    /// Name of the end that goes to `peer_net`.
    pub peer: &'a str,
    /// The network namespace of the other end.
    pub peer_net: BorrowedFd<'a>,
    /// Ethernet address of the other end.
    pub peer_mac: [u8; 6],
    /// Payload bytes of a frame, both ends.
    pub mtu: u32,
}

/// The links of the network namespace in which this was opened.
pub struct Links {
    netlink: Netlink,
}

impl Links {
    /// Opens the calling thread's network namespace.
    ///
    /// # Errors
    /// As `Netlink::open`.
    pub fn open() -> io::Result<Links> {
        Ok(Links {
            netlink: Netlink::open()?,
        })
    }

    /// Makes a veth pair, one end here, the other in another namespace; both are down.
    ///
    /// # Errors
    /// EEXIST a name is taken, EOPNOTSUPP the kernel has no veth.
    pub fn add_veth(&mut self, veth: &Veth<'_>) -> io::Result<()> {
        let mtu = veth.mtu.to_ne_bytes();
        let net = veth.peer_net.as_raw_fd().to_ne_bytes();
        let message = create()
            .text(libc::IFLA_IFNAME, veth.port)
            .attribute(libc::IFLA_MTU, &mtu)
            .nested(libc::IFLA_LINKINFO, &[], |info| {
                info.text(libc::IFLA_INFO_KIND, "veth")
                    .nested(libc::IFLA_INFO_DATA, &[], |data| {
                        data.nested(VETH_INFO_PEER, &[0; IFINFO_LEN], |peer| {
                            peer.text(libc::IFLA_IFNAME, veth.peer)
                                .attribute(libc::IFLA_MTU, &mtu)
                                .attribute(libc::IFLA_ADDRESS, &veth.peer_mac)
                                .attribute(libc::IFLA_NET_NS_FD, &net)
                        })
                    })
            });
        self.netlink.change(message)
    }

    /// Makes a bridge that floods and learns, and does nothing of its own accord.
    ///
    /// # Errors
    /// EOPNOTSUPP the kernel has no bridge.
    pub fn add_bridge(&mut self, name: &str) -> io::Result<()> {
        let message =
            create()
                .text(libc::IFLA_IFNAME, name)
                .nested(libc::IFLA_LINKINFO, &[], |info| {
                    info.text(libc::IFLA_INFO_KIND, "bridge").nested(
                        libc::IFLA_INFO_DATA,
                        &[],
                        |data| data.attribute(BRIDGE_MULTICAST_SNOOPING, &[0]),
                    )
                });
        self.netlink.change(message)
    }

    /// Makes `port` a port of `bridge`, or of none.
    ///
    /// # Errors
    /// ENODEV one of them does not exist.
    pub fn set_bridge(&mut self, port: &str, bridge: Option<&str>) -> io::Result<()> {
        let index = match bridge {
            Some(bridge) => self.state(bridge)?.index,
            None => 0,
        };
        let message = modify(0, 0)
            .text(libc::IFLA_IFNAME, port)
            .attribute(libc::IFLA_MASTER, &index.to_ne_bytes());
        self.netlink.change(message)
    }

    /// Puts a link up or down.
    ///
    /// # Errors
    /// ENODEV no such link.
    pub fn set_up(&mut self, name: &str, up: bool) -> io::Result<()> {
        let flags = if up { libc::IFF_UP as u32 } else { 0 };
        self.netlink
            .change(modify(flags, libc::IFF_UP as u32).text(libc::IFLA_IFNAME, name))
    }

    /// Gives a link an IPv4 address.
    ///
    /// # Errors
    /// ENODEV no such link.
    pub fn add_address(&mut self, name: &str, address: Ipv4Addr, prefix_len: u8) -> io::Result<()> {
        let index = self.state(name)?.index;
        let mut fixed = [
            libc::AF_INET as u8,
            prefix_len,
            0,
            libc::RT_SCOPE_UNIVERSE,
            0,
            0,
            0,
            0,
        ];
        fixed[4..].copy_from_slice(&index.to_ne_bytes());
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let message = Message::new(libc::RTM_NEWADDR, flags, &fixed)
            .attribute(libc::IFA_LOCAL, &address.octets())
            .attribute(libc::IFA_ADDRESS, &address.octets());
        self.netlink.change(message)
    }

    /// What the kernel says of a link now.
    ///
    /// # Errors
    /// ENODEV no such link.
    pub fn state(&mut self, name: &str) -> io::Result<LinkState> {
        let message =
            Message::new(libc::RTM_GETLINK, 0, &[0; IFINFO_LEN]).text(libc::IFLA_IFNAME, name);
        let body = self.netlink.query(message)?;
        parse_state(&body).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn create() -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    Message::new(libc::RTM_NEWLINK, flags, &[0; IFINFO_LEN])
}

/// A change of the flags under `mask` (and of what attributes say) of the link named by an attribute.
fn modify(flags: u32, mask: u32) -> Message {
    let mut fixed = [0; IFINFO_LEN];
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&mask.to_ne_bytes());
    Message::new(libc::RTM_NEWLINK, 0, &fixed)
}

fn parse_state(body: &[u8]) -> Option<LinkState> {
    let word = |at: usize| Some(u32::from_ne_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let flags = word(8)?;
    let mut state = LinkState {
        index: word(4)?,
        up: flags & libc::IFF_UP as u32 != 0,
        carrier: flags & libc::IFF_LOWER_UP as u32 != 0,
        ..LinkState::default()
    };
    for (kind, value) in attributes(body.get(IFINFO_LEN..)?) {
        match kind {
            libc::IFLA_MTU => state.mtu = u32::from_ne_bytes(value.try_into().ok()?),
            libc::IFLA_STATS64 => {
                let counter = |index: usize| {
                    let at = index * 8;
                    value
                        .get(at..at + 8)
                        .and_then(|b| b.try_into().ok())
                        .map_or(0, u64::from_ne_bytes)
                };
                state.rx = Traffic {
                    frames: counter(0),
                    bytes: counter(2),
                    dropped: counter(6),
                };
                state.tx = Traffic {
                    frames: counter(1),
                    bytes: counter(3),
                    dropped: counter(7),
                };
            }
            _ => {}
        }
    }
    Some(state)
}
