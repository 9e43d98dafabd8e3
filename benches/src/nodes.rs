//! Two nodes for the network goals: network namespaces with a veth pair between them.
//!
//! Nothing is named in the system: the namespaces live by this process's descriptors and its children,
//! and vanish with them, also after `kill -9`.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, setns, unshare};
use tools::netlab::net::{LinkState, Links, Veth};

/// The name of each node's one interface.
pub const INTERFACE: &str = "qn0";

/// One node's end of the pair.
#[derive(Debug)]
pub struct Node {
    namespace: File,
    /// Index of [`INTERFACE`] in its namespace.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its IPv4 address, for the TCP rulers.
    pub address: Ipv4Addr,
}

/// Both ends: the client's node first.
#[derive(Debug)]
pub struct Nodes {
    /// The client's and the server's node.
    pub ends: [Node; 2],
}

impl Nodes {
    /// Makes the namespaces and the pair, both ends up, at `mtu` payload bytes a frame.
    ///
    /// # Errors
    /// When neither root nor user namespaces allow it: the text says what to do.
    pub fn create(mtu: u32) -> crate::Result<Nodes> {
        if !nix::unistd::geteuid().is_root() {
            become_root_of_a_user_namespace()?;
        }
        let home = File::open("/proc/self/ns/net")?;
        let first = new_namespace().map_err(refused)?;
        let second = new_namespace().map_err(refused)?;
        let macs = [[0x02, 0, 0, 0, 0xbe, 1], [0x02, 0, 0, 0, 0xbe, 2]];
        let veth = Veth {
            port: INTERFACE,
            peer: INTERFACE,
            peer_net: first.as_fd(),
            peer_mac: macs[0],
            mtu,
        };
        Links::open()?.add_veth(&veth)?;
        let ends = [(first, 1), (second, 2)].map(|(namespace, number)| Node {
            namespace,
            index: 0,
            mac: macs[number - 1],
            address: Ipv4Addr::new(10, 190, 0, number as u8),
        });
        let mut nodes = Nodes { ends };
        nodes.ends.iter_mut().try_for_each(Node::bring_up)?;
        setns(&home, CloneFlags::CLONE_NEWNET)?;
        Ok(nodes)
    }
}

impl Node {
    /// Moves the calling process to this node.
    ///
    /// # Errors
    /// What `setns` answers.
    pub fn enter(&self) -> crate::Result<()> {
        Ok(setns(&self.namespace, CloneFlags::CLONE_NEWNET)?)
    }

    /// The interface's state and counters; the process must have entered.
    ///
    /// # Errors
    /// What netlink answers.
    pub fn link_state() -> crate::Result<LinkState> {
        Ok(Links::open()?.state(INTERFACE)?)
    }

    fn bring_up(&mut self) -> crate::Result<()> {
        self.enter()?;
        // Without IPv6 the kernel sends nothing of its own on the wire: what is counted is ours.
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
        let mut links = Links::open()?;
        links.set_up("lo", true)?;
        links.add_address(INTERFACE, self.address, 24)?;
        links.set_up(INTERFACE, true)?;
        self.index = links.state(INTERFACE)?.index;
        self.mac = read_mac()?;
        Ok(())
    }
}

/// A new network namespace, in which the process then is.
fn new_namespace() -> nix::Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    File::open("/proc/self/ns/net")
        .map_err(|fault| nix::Error::from_raw(fault.raw_os_error().unwrap_or(0)))
}

fn become_root_of_a_user_namespace() -> crate::Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(refused)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    Ok(std::fs::write(
        "/proc/self/gid_map",
        format!("0 {group} 1"),
    )?)
}

fn refused(fault: nix::Error) -> crate::Error {
    format!(
        "cannot make network namespaces: {fault}; the network goals need root or user namespaces \
         (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)"
    )
    .into()
}

fn read_mac() -> crate::Result<[u8; 6]> {
    let of_interface = |one: nix::ifaddrs::InterfaceAddress| {
        (one.interface_name == INTERFACE)
            .then_some(one.address?.as_link_addr()?.addr())
            .flatten()
    };
    nix::ifaddrs::getifaddrs()?
        .find_map(of_interface)
        .ok_or_else(|| format!("{INTERFACE} has no address").into())
}
