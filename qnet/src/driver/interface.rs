//! A network interface, looked up by its name in the process's network namespace.

use std::{io, mem, os::fd::AsRawFd};

use nix::net::if_::{if_indextoname, if_nameindex, if_nametoindex};
use qnet_proto::limits::MTU_MIN;
use socket2::{Domain, Socket, Type};

use crate::{
    driver::{LinkError, Mac},
    limits::{BLOCK_LENS, BLOCK_SHARE},
};

/// What the kernel says of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name when it was looked up. It may be given another one.
    pub name: String,
    /// Its number in this network namespace, which it keeps.
    pub index: u32,
    /// Its hardware address.
    pub mac: Mac,
    /// Bytes that a frame carries behind its Ethernet header.
    pub mtu: usize,
}

impl Interface {
    /// Looks up an Ethernet interface. One that is down is a link without a carrier: frames go through it once
    /// it is up.
    ///
    /// # Errors
    /// There is none of that name, it carries no Ethernet, or its MTU is too small.
    pub fn find(name: &str) -> Result<Interface, LinkError> {
        let index = if_nametoindex(name).map_err(|_| LinkError::NoInterface {
            name: name.to_owned(),
            present: present(),
        })?;
        let question = Question::open(name)?;
        let (kind, mac) = question.hardware_address()?;
        if kind != libc::ARPHRD_ETHER {
            return Err(LinkError::NotEthernet(name.to_owned()));
        }
        if !question.is_up()? {
            tracing::warn!("interface {name} is down; bring it up: ip link set {name} up");
        }
        let mtu = question.mtu()?;
        if mtu < MTU_MIN {
            return Err(LinkError::MtuTooSmall {
                name: name.to_owned(),
                mtu,
            });
        }
        Ok(Interface {
            name: name.to_owned(),
            index,
            mac,
            mtu,
        })
    }

    /// Bytes behind the Ethernet header of the longest frames that are worth sending through it: its MTU, unless a block
    /// of the kernel's memory is little shorter.
    pub fn frame_mtu(&self) -> usize {
        let block = BLOCK_LENS.into_iter().find(|len| *len <= self.mtu);
        let little_shorter = |len: &usize| self.mtu - len <= self.mtu / BLOCK_SHARE;
        block.filter(little_shorter).unwrap_or(self.mtu)
    }

    /// Whether the interface is up and has a carrier; not if it cannot be asked.
    pub(super) fn has_carrier(&self) -> bool {
        let wanted = libc::IFF_UP | libc::IFF_RUNNING;
        let name = self.name_now();
        let question = name.and_then(|name| Question::open(&name).ok());
        let flags = question.and_then(|question| question.flags().ok());
        // Another interface may have been given the name before it was asked; news of that follow.
        flags.is_some_and(|flags| flags & wanted == wanted)
    }

    /// What it is called now; `None` if it was removed.
    fn name_now(&self) -> Option<String> {
        let name = if_indextoname(self.index).ok()?;
        // The function of this name takes the null pointer that says "none" for an answer.
        name.into_string().ok().filter(|name| !name.is_empty())
    }

    /// Whether a socket on the interface can go on after a failure with this errno: an interface that is
    /// down comes up again by itself; one that was removed does not.
    ///
    /// # Errors
    /// It was removed.
    pub(super) fn still_there_after(&self, errno: i32) -> Result<(), LinkError> {
        // The number 0 is that of no interface: a loopback pair has none that could go.
        let may_have_gone = matches!(errno, libc::ENETDOWN | libc::ENXIO | libc::ENODEV);
        if may_have_gone && self.index != 0 && self.name_now().is_none() {
            return Err(LinkError::InterfaceGone(self.name.clone()));
        }
        Ok(())
    }
}

/// Names of the interfaces of this network namespace.
fn present() -> Vec<String> {
    if_nameindex()
        .map(|all| {
            all.iter()
                .map(|one| one.name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default()
}

/// An interface's name in the form the kernel's interface ioctls take, and a socket to ask through.
///
/// sysfs would need no ioctl, but shows the namespace it was mounted in, not the caller's.
struct Question {
    socket: Socket,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Question {
    fn open(name: &str) -> Result<Question, LinkError> {
        let socket =
            Socket::new(Domain::UNIX, Type::DGRAM, None).map_err(|error| LinkError::Socket {
                what: "open a socket to ask about interfaces",
                error,
            })?;
        let mut field = [0; libc::IFNAMSIZ];
        // The kernel has just found the name, so that it is shorter than the field.
        for (to, from) in field[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
            *to = from.cast_signed() as libc::c_char;
        }
        Ok(Question {
            socket,
            name: field,
        })
    }

    fn hardware_address(&self) -> Result<(u16, Mac), LinkError> {
        let answer = self.ask(libc::SIOCGIFHWADDR, "ask for the hardware address")?;
        // SAFETY: SIOCGIFHWADDR fills `ifru_hwaddr`; the union was zeroed, so all bytes are initialised.
        let address = unsafe { answer.ifr_ifru.ifru_hwaddr };
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(address.sa_data) {
            *to = from as u8;
        }
        Ok((address.sa_family, Mac(mac)))
    }

    fn is_up(&self) -> Result<bool, LinkError> {
        Ok(self.flags()? & libc::IFF_UP != 0)
    }

    fn flags(&self) -> Result<libc::c_int, LinkError> {
        let answer = self.ask(libc::SIOCGIFFLAGS, "ask whether the interface is up")?;
        // SAFETY: SIOCGIFFLAGS fills `ifru_flags`; the union was zeroed, so all bytes are initialised.
        let flags = unsafe { answer.ifr_ifru.ifru_flags };
        Ok(libc::c_int::from(flags))
    }

    fn mtu(&self) -> Result<usize, LinkError> {
        let answer = self.ask(libc::SIOCGIFMTU, "ask for the MTU")?;
        // SAFETY: SIOCGIFMTU fills `ifru_mtu`; the union was zeroed, so all bytes are initialised.
        let mtu = unsafe { answer.ifr_ifru.ifru_mtu };
        Ok(usize::try_from(mtu).unwrap_or(0))
    }

    fn ask(&self, ioctl: libc::c_ulong, what: &'static str) -> Result<libc::ifreq, LinkError> {
        // SAFETY: `ifreq` is plain old data for which all zeroes is a valid value.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        request.ifr_name = self.name;
        // SAFETY: the descriptor is open, `request` is a live `ifreq` that the kernel reads and fills
        // within its size, and the name in it ends with a zero byte.
        let outcome = unsafe { libc::ioctl(self.socket.as_raw_fd(), ioctl as _, &mut request) };
        if outcome < 0 {
            let error = io::Error::last_os_error();
            return Err(LinkError::Socket { what, error });
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_interface_names_those_that_exist() {
        let error = Interface::find("nosuch0").unwrap_err();
        assert!(
            matches!(&error, LinkError::NoInterface { present, .. } if present.iter().any(|n| n == "lo"))
        );
    }

    #[test]
    fn frames_are_as_long_as_a_block_where_that_is_little_shorter() {
        let frame_mtu = |mtu| {
            let mac = Mac([2, 0, 0, 0, 0, 1]);
            let (name, index) = ("port0".to_owned(), 1);
            let interface = Interface {
                name,
                index,
                mac,
                mtu,
            };
            interface.frame_mtu()
        };
        let whole = [576, 1500, 4352, 8191, 8192, 9500, 16_383, 24_576, 65_535];
        assert_eq!(whole.map(frame_mtu), whole);
        assert_eq!([9000, 9216].map(frame_mtu), [8192; 2]);
        assert_eq!([16_384, 17_914].map(frame_mtu), [16_384; 2]);
        assert_eq!([32_768, 35_000].map(frame_mtu), [32_768; 2]);
        for mtu in 576..=65_535 {
            let len = frame_mtu(mtu);
            assert!(len <= mtu && 8 * (mtu - len) <= mtu, "{len} of {mtu}");
        }
    }

    #[test]
    fn the_loopback_interface_is_no_ethernet() {
        assert!(matches!(
            Interface::find("lo"),
            Err(LinkError::NotEthernet(_))
        ));
    }
}
