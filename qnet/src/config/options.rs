//! The command line.

use std::path::PathBuf;

use clap::Args;

use crate::driver::FaultPlan;

/// Options of the `qnet` command. What is not given comes from the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// The Ethernet interface that leads to the other nodes (see `ip link`); named more than once, several
    /// that stand in for each other, in order of preference
    #[arg(
        short,
        long,
        value_name = "IF",
        env = "QNET_INTERFACE",
        value_delimiter = ','
    )]
    pub interface: Vec<String>,

    /// The name of this node, under which others find it as /net/NODE [default: the host's name]
    #[arg(short, long, value_name = "NODE", env = "QNET_NODE")]
    pub name: Option<String>,

    /// The runtime directory that makes processes belong to one node [default: $QNET_RUNTIME_DIR, else
    /// /run/qnet for root, else $XDG_RUNTIME_DIR/qnet, else /tmp/qnet-UID]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,

    /// Nodes known from the start: a file of lines `name mac [interface]`; others are found by broadcast
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,

    /// EtherType of the frames, the same on all nodes that are to meet; several nodes on one machine that use the
    /// same interface need one each [default: 0x88B5]
    #[arg(long, value_name = "TYPE", value_parser = parse_ethertype)]
    pub ethertype: Option<u16>,

    /// How long a node may be silent before its callers get EHOSTDOWN, or EHOSTUNREACH if no session with it was open,
    /// in milliseconds [default: 1500]
    #[arg(long, value_name = "MS")]
    pub tolerance_ms: Option<u64>,

    /// How long an unknown node's name is looked for before it is ENOENT, in milliseconds [default: 1000]
    #[arg(long, value_name = "MS")]
    pub resolve_timeout_ms: Option<u64>,

    /// Whom users of other nodes count as here: root-squash (root is nobody), identity, any:UID, or
    /// table (the `[[user]]` entries of the configuration file) [default: root-squash]
    #[arg(long, value_name = "RULE")]
    pub map: Option<String>,

    /// The configuration file (TOML); the options above override it
    #[arg(short, long, value_name = "FILE", env = "QNET_CONFIG")]
    pub config: Option<PathBuf>,

    /// Look for frames and messages for so long before sleeping, in microseconds, at most 10000. Calls get
    /// faster where the thread has a CPU to itself, and slower where it takes that of the programs it serves
    /// [default: 0, sleep at once]
    #[arg(long, value_name = "US")]
    pub spin_us: Option<u64>,

    /// The CPUs that the network-handler thread may run on, such as 2 or 2,4-5 [default: any]
    #[arg(long, value_name = "LIST")]
    pub cpu: Option<String>,

    /// Append one JSON line for each name that is resolved over the network [default: $QNET_TRACE]
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Record every frame in and out in a pcapng file, for Wireshark or tcpdump
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,

    /// Put a checksum into every frame and refuse frames without one, where the network's own is not trusted;
    /// the same on all nodes
    #[arg(long)]
    pub seal: bool,

    /// Make the wire bad for a test, such as loss=0.05,dup=0.01,reorder=0.02,corrupt=0.01,seed=7
    #[arg(long, value_name = "PLAN")]
    pub faults: Option<FaultPlan>,
}

fn parse_ethertype(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match digits {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is not an EtherType such as 0x88B5"))
}
