//! An interface and an EtherType are one node's: two would take each other's frames for their own.
//!
//! The claim is a socket with an abstract name of both. Such names are per network namespace, as interfaces are,
//! and go with the process. As anybody may take a name, one that is taken counts only if somebody also receives
//! the frames, which takes the right to packet sockets.

use std::{
    fs, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::driver::{Interface, LinkError};

/// The packet sockets of the network namespace that the calling thread is in.
const PACKET_SOCKETS: &str = "/proc/thread-self/net/packet";

/// Proves that no other qnet that runs holds the interface for the EtherType.
#[derive(Debug)]
pub(super) struct Claim {
    /// Nobody connects to it but who wants to know whose it is. Absent, if a stranger has the name.
    _name: Option<UnixListener>,
}

impl Claim {
    /// Claims an interface for an EtherType. The packet socket is bound already: whoever has the name has one too.
    ///
    /// # Errors
    /// [`LinkError::Taken`] another qnet has it.
    pub(super) fn of(interface: &Interface, ethertype: u16) -> Result<Claim, LinkError> {
        let name = name(interface.index, ethertype);
        let address = SocketAddr::from_abstract_name(&name).map_err(refused)?;
        match UnixListener::bind_addr(&address) {
            Ok(listener) => Ok(Claim {
                _name: Some(listener),
            }),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(refused(error)),
            Err(_) if receivers(interface.index, ethertype).is_some_and(|count| count < 2) => {
                tracing::warn!(
                    "the socket name @{name} is taken by {}, which is no qnet: nothing keeps a second qnet \
                     from interface {}",
                    holder(&name),
                    interface.name
                );
                Ok(Claim { _name: None })
            }
            Err(_) => Err(LinkError::Taken {
                name: interface.name.clone(),
                ethertype,
                holder: holder(&name),
            }),
        }
    }
}

/// The abstract name; the number of an interface stays when it is renamed.
fn name(index: u32, ethertype: u16) -> String {
    format!("qnet/{index}/{ethertype:04x}")
}

fn refused(error: io::Error) -> LinkError {
    LinkError::Socket {
        what: "claim the interface",
        error,
    }
}

/// Packet sockets that receive the EtherType on the interface, the caller's own among them; `None` where the system
/// does not tell.
fn receivers(index: u32, ethertype: u16) -> Option<usize> {
    let table = fs::read_to_string(PACKET_SOCKETS).ok()?;
    Some(count(&table, index, ethertype))
}

fn count(table: &str, index: u32, ethertype: u16) -> usize {
    let is_one = |line: &&str| {
        let mut columns = line.split_whitespace().skip(3);
        let protocol = columns
            .next()
            .and_then(|word| u16::from_str_radix(word, 16).ok());
        let bound_to = columns.next().and_then(|word| word.parse().ok());
        (protocol, bound_to) == (Some(ethertype), Some(index))
    };
    table.lines().filter(is_one).count()
}

/// Who has the name, as far as can be found out.
fn holder(name: &str) -> String {
    let asked = || -> io::Result<_> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A stranger may have a queue that is full.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(format!("\0{name}"))?)?;
        Ok(getsockopt(&socket, PeerCredentials)?)
    };
    match asked() {
        Ok(who) if who.pid() != 0 => format!("process {} of user {}", who.pid(), who.uid()),
        _ => "a process that is not seen from here".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_sockets_are_counted_by_interface_and_type() {
        let table = "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n\
                     0000000000000000 3      3    88b5   2     1 0      0      12\n\
                     0000000000000000 3      3    88b5   3     1 0      0      13\n\
                     0000000000000000 3      3    0003   2     1 0      0      14\n\
                     0000000000000000 3      3    88b5   2     1 0      0      15\n";
        assert_eq!(count(table, 2, 0x88b5), 2);
        assert_eq!(count(table, 3, 0x88b5), 1);
        assert_eq!(count(table, 2, 0x88b6), 0);
    }
}
