//! The command line of `qnet`.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};

use crate::{capture::CaptureOptions, config::Options, daemon::LogOptions};

/// Carries message passing between the nodes of an Ethernet segment and serves /net.
///
/// Every node runs one qnet beside its process manager (procmgr). Processes reach another node's files
/// and servers by paths such as /net/wintermute/home/rk; `qn ls /net` shows the nodes known,
/// and /net/.stats what was counted. Needs the right to open packet sockets (root, or
/// `setcap cap_net_raw+ep qnet`) and Linux 6.1 or later with io_uring. Stops cleanly on SIGTERM and
/// SIGINT.
///
/// Example: qnet --interface eth1 --name magenta
#[derive(Parser)]
#[command(name = "qnet", version, verbatim_doc_comment)]
pub struct CommandLine {
    /// What else than to serve
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve
    #[command(flatten)]
    pub options: Options,
    /// Log
    #[command(flatten)]
    pub log: LogOptions,
}

/// What `qnet` does beside serving.
#[derive(Subcommand)]
pub enum Command {
    /// Record the frames of the qnet that runs, as a pcapng file for Wireshark and tcpdump
    ///
    /// The file tells the links apart, which way each frame went, and how many frames were missed where this
    /// program did not keep up. Ctrl-C ends it. Frames hold everybody's data: only the user that qnet runs as, and
    /// root, may record. The dissector qnet/wireshark/qnet.lua explains every field.
    #[command(after_help = CAPTURE_HELP)]
    Capture(CaptureOptions),
}

const CAPTURE_HELP: &str = "\
Examples:
  qnet capture net.pcapng                              until Ctrl-C
  qnet capture -s 10 -b 100000000 net.pcapng           10 seconds, at most 100 MB
  qnet capture - | wireshark -X lua_script:qnet.lua -k -i -
  tshark -X lua_script:qnet.lua -r net.pcapng -Y qnet.message

To record from the first frame on, start qnet itself with --capture FILE.";
