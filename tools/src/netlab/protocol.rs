//! What netlab's commands and the supervisor of a lab tell each other: one order, one answer, each a
//! JSON document, per connection. Descriptors (namespaces, files, packet sockets) travel beside the
//! answer. Pids are those inside the lab.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::net::LinkState;

/// What a supervisor is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order")]
pub(super) enum Order {
    /// Say how everything is.
    Status,
    /// Stop the daemons and end the lab.
    Down,
    /// Hand over the namespaces of a node.
    Enter {
        /// The node.
        node: String,
    },
    /// Hand over a file of the lab, opened for reading.
    Open {
        /// The node whose file it is.
        node: String,
        /// Path below the node's directory.
        path: PathBuf,
    },
    /// Hand over a packet socket for every port, to capture with.
    Capture,
    /// Stop frames from or to a node.
    Cut {
        /// The node.
        node: String,
        /// The number of its link, or all of them.
        link: Option<usize>,
        /// How.
        cut: Cut,
    },
    /// Undo what `Cut` did.
    Heal {
        /// The node, or all of them.
        node: Option<String>,
        /// The number of the link, or all of them.
        link: Option<usize>,
    },
    /// Inject faults, or stop doing so.
    Faults {
        /// The faults; `None` means a wire without faults.
        faults: Option<Faults>,
    },
    /// Send a signal to a daemon.
    Kill {
        /// The node.
        node: String,
        /// The daemon's name.
        daemon: String,
        /// Number of the signal.
        signal: i32,
    },
    /// Start a daemon again; one that still runs is stopped first.
    Restart {
        /// The node.
        node: String,
        /// The daemon's name.
        daemon: String,
    },
    /// Start a server of the user's beside the node's daemons.
    Serve {
        /// The node.
        node: String,
        /// Name of the daemon from now on.
        daemon: String,
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// How a node is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Not at all.
    #[default]
    None,
    /// The cable is pulled: both ends lose their carrier.
    Link,
    /// Silently, in both directions: the carrier stays.
    Both,
    /// Silently: what the node sends is lost.
    From,
    /// Silently: what is sent to the node is lost.
    To,
}

/// Faults of the wire. The fate of the n-th frame from one port to another is a function of the seed,
/// the two ports and n alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// Percent of the frames that are lost.
    pub loss: f64,
    /// Percent of the frames that arrive twice.
    pub dup: f64,
    /// Percent of the frames that are overtaken by up to four later ones.
    pub reorder: f64,
    /// Delay of every frame, in microseconds.
    pub delay_us: u64,
    /// Seed of all decisions.
    pub seed: u64,
}

/// What comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub(super) enum Answer {
    /// It is done.
    Done {
        /// What is worth knowing about it, in a sentence; may be empty.
        note: String,
    },
    /// It is not done.
    Failed {
        /// What failed, the likely cause, and what mends it.
        why: String,
    },
    /// To `Status`.
    Status(LabStatus),
    /// To `Enter`; descriptors: user namespace (if the lab has one), then mount, pid, net, uts.
    Entrance(Entrance),
    /// To `Open`; one descriptor.
    File,
    /// To `Capture`; one descriptor for each port, in this order.
    Ports {
        /// The nodes at the ports.
        nodes: Vec<String>,
    },
}

/// What a process needs to know to be on a node, beside its namespaces.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entrance {
    /// The first descriptor is a user namespace.
    pub user_namespace: bool,
    /// The node's directory.
    pub dir: PathBuf,
    /// Environment variables that hold on the node.
    pub environment: Vec<(String, String)>,
}

/// How a lab is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabStatus {
    /// Name of the lab.
    pub lab: String,
    /// Pid of its supervisor, as the one who asks sees it.
    pub supervisor_pid: i32,
    /// What joins the nodes: "bridge", the kernel's, or "seeded", netlab's own switch.
    pub switch: String,
    /// Faults in force.
    pub faults: Option<Faults>,
    /// What the seeded switch has done to frames.
    pub counters: SwitchCounters,
    /// The nodes.
    pub nodes: Vec<NodeStatus>,
}

/// How a node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Ethernet address of its eth0.
    pub mac: String,
    /// IPv4 address of its eth0.
    pub address: String,
    /// How it is cut off.
    pub cut: Cut,
    /// Its eth0; frames sent and received are the node's.
    pub link: LinkState,
    /// All its links, eth0 first.
    pub links: Vec<CableStatus>,
    /// Its daemons.
    pub daemons: Vec<DaemonStatus>,
}

/// How one link of a node is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CableStatus {
    /// The interface's name on the node.
    pub interface: String,
    /// Its Ethernet address.
    pub mac: String,
    /// How it is cut.
    pub cut: Cut,
    /// Frames sent and received are the node's.
    pub link: LinkState,
}

/// How a daemon is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its name.
    pub name: String,
    /// Its pid inside the lab, while it lives.
    pub pid: Option<i32>,
    /// How it ended, if it does not live.
    pub ended: Option<String>,
    /// How often it was started.
    pub starts: u32,
}

impl SwitchCounters {
    /// Adds what another switch has done.
    pub(super) fn add(&mut self, other: &SwitchCounters) {
        self.received += other.received;
        self.sent += other.sent;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.cut += other.cut;
        self.overrun += other.overrun;
    }
}

/// What the seeded switch has done to frames since it took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchCounters {
    /// Frames that came in.
    pub received: u64,
    /// Frames that went out.
    pub sent: u64,
    /// Frames lost on purpose.
    pub lost: u64,
    /// Frames sent twice.
    pub duplicated: u64,
    /// Frames held back until others had passed.
    pub reordered: u64,
    /// Frames that met a cut.
    pub cut: u64,
    /// Frames lost because a port took no more: not on purpose.
    pub overrun: u64,
}
