//! Why a link cannot be opened or used, with the likely cause and the mending command.

use std::{env, error, fmt, io, path::PathBuf};

use qnet_proto::limits::MTU_MIN;

/// What is wrong with a link. The text is meant for the operator.
#[derive(Debug)]
pub enum LinkError {
    /// No interface has this name.
    NoInterface {
        /// The name asked for.
        name: String,
        /// The interfaces that exist.
        present: Vec<String>,
    },
    /// The interface does not carry Ethernet frames.
    NotEthernet(String),
    /// The interface's MTU is too small for the protocol.
    MtuTooSmall {
        /// The interface.
        name: String,
        /// Its MTU.
        mtu: usize,
    },
    /// Another qnet has the interface and the EtherType.
    Taken {
        /// The interface.
        name: String,
        /// The EtherType.
        ethertype: u16,
        /// Who it is, as far as can be seen.
        holder: String,
    },
    /// The interface was removed while in use.
    InterfaceGone(String),
    /// The process may not open packet sockets.
    NoPacketRight(PathBuf),
    /// A socket option or address was refused.
    Socket {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel refuses io_uring to this process.
    RingRefused(io::Error),
    /// An io_uring operation failed that must not.
    Ring(io::Error),
}

impl LinkError {
    /// The error of opening a packet socket.
    pub(super) fn of_packet_socket(error: io::Error) -> LinkError {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                LinkError::NoPacketRight(env::current_exe().unwrap_or_else(|_| "qnet".into()))
            }
            _ => LinkError::Socket {
                what: "open a packet socket",
                error,
            },
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::NoInterface { name, present } => write!(
                f,
                "there is no network interface {name:?} here; there are: {}. \
                 Name one of them with --interface (see `ip link`)",
                present.join(", ")
            ),
            LinkError::NotEthernet(name) => write!(
                f,
                "interface {name} carries no Ethernet frames; choose an Ethernet interface \
                 (`ip -o link` shows link/ether)"
            ),
            LinkError::MtuTooSmall { name, mtu } => write!(
                f,
                "interface {name} has an MTU of {mtu} bytes; a frame of Qnet needs at least {MTU_MIN}. \
                 Raise it: ip link set {name} mtu 1500"
            ),
            LinkError::Taken {
                name,
                ethertype,
                holder,
            } => write!(
                f,
                "another qnet, {holder}, uses interface {name} with EtherType {ethertype:#06x}: two nodes on one \
                 would take each other's frames. Stop that one, or give this one, and the nodes it is to meet, \
                 another type: --ethertype {:#06x}",
                another(*ethertype)
            ),
            LinkError::InterfaceGone(name) => write!(
                f,
                "interface {name} was removed while in use; start qnet again when it is back"
            ),
            LinkError::NoPacketRight(exe) => write!(
                f,
                "no right to open packet sockets (CAP_NET_RAW); run as root, or give the program \
                 the right: sudo setcap cap_net_raw+ep {}",
                exe.display()
            ),
            LinkError::Socket { what, error } => write!(f, "cannot {what}: {error}"),
            LinkError::RingRefused(error) => match error.raw_os_error() {
                Some(libc::EPERM) => write!(
                    f,
                    "the kernel refuses io_uring to this process ({error}); allow it: \
                     sudo sysctl kernel.io_uring_disabled=0 (in a container: allow io_uring_setup, \
                     io_uring_enter and io_uring_register in its seccomp profile)"
                ),
                Some(libc::ENOSYS) => write!(
                    f,
                    "this kernel has no io_uring, or a seccomp profile hides it ({error}); allow \
                     io_uring_setup, io_uring_enter and io_uring_register in the profile"
                ),
                Some(libc::EINVAL) => write!(
                    f,
                    "this kernel's io_uring is too old ({error}): Linux 6.1 or later is needed \
                     (see `uname -r`)"
                ),
                Some(libc::ENOMEM) => write!(
                    f,
                    "not enough lockable memory for io_uring ({error}); raise the limit of this shell: \
                     sudo prlimit --pid $$ --memlock=unlimited (of a service: LimitMEMLOCK=infinity)"
                ),
                _ => write!(f, "io_uring cannot be set up: {error}"),
            },
            LinkError::Ring(error) => write!(f, "io_uring failed: {error}"),
        }
    }
}

/// The other of the two types that IEEE 802 leaves for experiments.
fn another(ethertype: u16) -> u16 {
    match ethertype {
        0x88b5 => 0x88b6,
        _ => 0x88b5,
    }
}

impl error::Error for LinkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_mending_command() {
        let refused =
            |errno| LinkError::RingRefused(io::Error::from_raw_os_error(errno)).to_string();
        assert!(refused(libc::EPERM).contains("sysctl kernel.io_uring_disabled=0"));
        assert!(refused(libc::EINVAL).contains("6.1"));
        assert!(refused(libc::ENOMEM).contains("prlimit --pid $$"));
        let raw = LinkError::of_packet_socket(io::Error::from_raw_os_error(libc::EPERM));
        assert!(raw.to_string().contains("setcap cap_net_raw+ep /"), "{raw}");
        let (name, mtu) = ("en0".to_owned(), 500);
        let small = LinkError::MtuTooSmall { name, mtu }.to_string();
        assert!(small.contains("500 bytes") && small.contains("at least 576"));
        assert!(small.contains("ip link set en0 mtu 1500"));
    }
}
