//! A node: its namespaces, its ends of the cables, its directory, its daemons.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::SigSet;
use nix::unistd::sethostname;

use super::daemon::Daemon;
use super::{Home, LAB_DIR, LabPlan, NodePlan};
use crate::netlab::net::{Links, Veth};
use crate::netlab::protocol::Cut;
use crate::netlab::switch::Gate;
use crate::netlab::sys;

/// The first two octets of the nodes' addresses: a network nobody routes to.
const NETWORK: [u8; 2] = [10, 77];
const PREFIX_LEN: u8 = 16;
/// Servers of any user may listen in the node's runtime directory.
const RUNTIME_DIR_MODE: u32 = 0o1777;

/// A node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) index: usize,
    pub(super) dir: PathBuf,
    pub(super) namespaces: Arc<Namespaces>,
    /// One for each switch.
    pub(super) cables: Vec<Cable>,
    pub(super) daemons: Vec<Daemon>,
}

/// What joins a node to one switch.
pub(super) struct Cable {
    /// Name of the port in the switch's namespace.
    pub(super) port: String,
    /// Name of the interface on the node.
    pub(super) interface: String,
    pub(super) cut: Cut,
    pub(super) gate: Arc<Gate>,
}

/// The namespaces of a node. They exist while a descriptor or a process holds them.
pub(super) struct Namespaces {
    pub(super) mount: OwnedFd,
    pub(super) net: OwnedFd,
    pub(super) host_name: OwnedFd,
}

impl Node {
    /// Makes node number `index`, plugged into the switches (whose network namespace `switch` is).
    pub(super) fn build(plan: &LabPlan, index: usize, switch: &mut Links) -> io::Result<Node> {
        let wanted = &plan.nodes[index];
        let (namespaces, mut links) = Namespaces::make(&wanted.name)?;
        links.set_up("lo", true)?;
        let cut = match wanted.unplugged {
            true => Cut::Link,
            false => Cut::None,
        };
        let mut cables = Vec::new();
        for link in 0..plan.links {
            let cable = Cable {
                port: port_name(index, link),
                interface: interface_name(link),
                cut,
                gate: Arc::default(),
            };
            switch.add_veth(&Veth {
                port: &cable.port,
                peer: &cable.interface,
                peer_net: namespaces.net.as_fd(),
                peer_mac: mac(index, link),
                mtu: plan.mtu,
            })?;
            links.set_up(&cable.interface, true)?;
            switch.set_up(&cable.port, !wanted.unplugged)?;
            cables.push(cable);
        }
        links.add_address(&interface_name(0), address(index), PREFIX_LEN)?;
        let dir = Path::new(LAB_DIR).join(&wanted.name);
        for part in ["run", "log", "trace", "home", "work"] {
            fs::create_dir_all(dir.join(part))?;
        }
        fs::set_permissions(dir.join("run"), Permissions::from_mode(RUNTIME_DIR_MODE))?;
        let daemons = daemons_of(plan, wanted, &dir);
        Ok(Node {
            name: wanted.name.clone(),
            index,
            dir,
            namespaces: Arc::new(namespaces),
            cables,
            daemons,
        })
    }

    /// Ethernet address of one of the node's interfaces.
    pub(super) fn mac(&self, link: usize) -> String {
        mac(self.index, link)
            .map(|octet| format!("{octet:02x}"))
            .join(":")
    }

    /// IPv4 address of the node's first interface.
    pub(super) fn address(&self) -> Ipv4Addr {
        address(self.index)
    }

    /// What every process of the node finds in its environment.
    pub(super) fn environment(&self, plan: &LabPlan) -> Vec<(String, String)> {
        let programs = plan.programs.dir().display();
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        [
            (
                "QNET_RUNTIME_DIR",
                self.dir.join("run").display().to_string(),
            ),
            ("NETLAB", plan.lab.clone()),
            ("NETLAB_NODE", self.name.clone()),
            ("NETLAB_DIR", self.dir.display().to_string()),
            ("PATH", format!("{programs}:{path}")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

impl Namespaces {
    /// Makes them in a thread of their own; also answers the node's links.
    fn make(name: &str) -> io::Result<(Namespaces, Links)> {
        let name = name.to_owned();
        let maker = std::thread::Builder::new()
            .name("namespaces".into())
            .spawn(move || {
                unshare(
                    CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS,
                )?;
                sethostname(&name)?;
                show_own_devices();
                silence_ipv6();
                let own = |kind: &str| {
                    File::open(format!("/proc/thread-self/ns/{kind}")).map(OwnedFd::from)
                };
                let namespaces = Namespaces {
                    mount: own("mnt")?,
                    net: own("net")?,
                    host_name: own("uts")?,
                };
                Ok((namespaces, Links::open()?))
            })?;
        maker
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the maker of namespaces panicked")))
    }

    /// Has `command`'s process be on this node.
    pub(super) fn apply(self: &Arc<Namespaces>, command: &mut Command) {
        let held = Arc::clone(self);
        sys::before_exec(command, move || {
            setns(&held.host_name, CloneFlags::CLONE_NEWUTS)?;
            setns(&held.net, CloneFlags::CLONE_NEWNET)?;
            setns(&held.mount, CloneFlags::CLONE_NEWNS)?;
            // The supervisor's mask would be inherited, and SIGTERM would not reach a program that
            // leaves it to the default action.
            SigSet::empty().thread_set_mask()?;
            Ok(())
        });
    }

    /// The descriptors, to pass them on.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [self.mount.as_fd(), self.net.as_fd(), self.host_name.as_fd()]
    }
}

/// A `/sys` that shows this namespace's interfaces. Where a container forbids it the node works, but
/// shows the host's.
fn show_own_devices() {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if let Err(errno) = mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>) {
        tracing::debug!(%errno, "no /sys of the node's own");
    }
}

/// No neighbour and router discovery on the cable: what a capture shows is what the nodes' programs
/// sent. Where /proc/sys cannot be written, some frames of the kernel's show up too.
pub(super) fn silence_ipv6() {
    for which in ["default", "all"] {
        let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        if let Err(error) = fs::write(&path, "1") {
            tracing::debug!(%error, path, "IPv6 stays on");
        }
    }
}

fn daemons_of(plan: &LabPlan, node: &NodePlan, dir: &Path) -> Vec<Daemon> {
    let program = |name: &str| plan.programs.path(name).display().to_string();
    let mut daemons = Vec::new();
    let mut add = |name: &str, options: Vec<String>| {
        let command = [program(name)].into_iter().chain(options).collect();
        daemons.push(Daemon::new(name, command));
    };
    if node.procmgr {
        add("procmgr", Vec::new());
    }
    if node.qnet {
        let interfaces =
            (0..plan.links).flat_map(|link| ["--interface".to_owned(), interface_name(link)]);
        let own = ["--name", &node.name].map(str::to_owned);
        let maps_users = |option: &String| option.split('=').next() == Some("--map");
        let map = ["--map", "identity"].map(str::to_owned);
        let map = map
            .into_iter()
            .filter(|_| !plan.qnet_options.iter().any(maps_users));
        let options = interfaces
            .chain(own)
            .chain(map)
            .chain(plan.qnet_options.iter().cloned());
        add("qnet", options.collect());
    }
    let home = match &node.home {
        Home::None => None,
        Home::Scratch => Some(dir.join("home")),
        Home::Dir(path) => Some(path.clone()),
    };
    if let Some(home) = home {
        add(
            "fs-export",
            vec![home.display().to_string(), "/home".to_owned()],
        );
    }
    daemons
}

fn port_name(index: usize, link: usize) -> String {
    match link {
        0 => format!("port{index}"),
        _ => format!("port{index}-{link}"),
    }
}

fn interface_name(link: usize) -> String {
    format!("eth{link}")
}

/// Locally administered, "NL", and the numbers of the link and the node.
fn mac(index: usize, link: usize) -> [u8; 6] {
    [0x02, b'N', b'L', 0, link as u8, index as u8 + 1]
}

fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(NETWORK[0], NETWORK[1], 0, index as u8 + 1)
}
