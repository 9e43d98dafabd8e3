//! Arguments, and what `--help` says of them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nix::sys::signal::Signal;

use crate::netlab::protocol::{Cut, Faults};

/// Makes a network of Neutrino nodes on this machine: each a network namespace with a process
/// manager, a qnet and a filesystem manager of its own, joined by a switch that can be told to lose
/// frames. Needs no privilege where user namespaces are allowed, and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "netlab", version, after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Name of the lab; several can be up at a time.
    #[arg(long, global = true, value_name = "NAME", env = "NETLAB", default_value = "lab", value_parser = name)]
    pub(super) lab: String,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  netlab demo                                    the walk to a file on another node, step by step
  netlab up                                      nodes magenta and wintermute
  netlab exec magenta -- qn ls /net/wintermute/home
  netlab shell magenta                           a shell on a node
  netlab faults --loss 5 --dup 1 --reorder 5 --seed 7
  netlab cut wintermute; netlab heal wintermute
  netlab up --links 2; netlab cut wintermute --link 1 --how both
  netlab up --nodes 16                           node1 to node16
  netlab kill wintermute qnet; netlab restart wintermute qnet
  netlab down";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the walk to a file on another node: real events of real processes.
    Demo(DemoOptions),
    /// Bring a lab up.
    Up(UpOptions),
    /// Stop the daemons of a lab and end it.
    Down,
    /// Run a command on a node; its exit code is netlab's.
    Exec {
        /// The node.
        node: String,
        /// Set an environment variable for the command.
        #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
        env: Vec<(String, String)>,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Open a shell on a node.
    Shell {
        /// The node.
        node: String,
    },
    /// Show nodes, daemons, links and faults.
    Status {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Stop frames from or to a node.
    Cut {
        /// The node.
        node: String,
        /// What to cut: pull the cable, so that both ends see it, or lose frames silently.
        #[arg(long, value_enum, default_value_t = How::Link)]
        how: How,
        /// Number of the link to cut, 0 for eth0; without it all of the node's.
        #[arg(long, value_name = "NUMBER")]
        link: Option<usize>,
    },
    /// Undo cut.
    Heal {
        /// The node; all nodes if none is named.
        node: Option<String>,
        /// Number of the link; without it all.
        #[arg(long, value_name = "NUMBER")]
        link: Option<usize>,
    },
    /// Lose, double, reorder or delay frames, as a seed decides; replaces what was set before.
    Faults(FaultOptions),
    /// Send a daemon a signal, SIGKILL by default.
    Kill {
        /// The node.
        node: String,
        /// The daemon: procmgr, qnet, fs-export, or one started by serve.
        daemon: String,
        /// Name of the signal.
        #[arg(long, default_value = "SIGKILL")]
        signal: Signal,
    },
    /// Start a daemon again; one that still runs is stopped first.
    Restart {
        /// The node.
        node: String,
        /// The daemon.
        daemon: String,
    },
    /// Start a server of your own on a node and wait for its ready notice: READY=1 to the socket that NOTIFY_SOCKET
    /// names, as for systemd. One that sends none is started by `netlab exec NODE -- PROGRAM &`.
    Serve {
        /// The node.
        node: String,
        /// Name for status, kill and logs; by default that of the program.
        #[arg(long)]
        name: Option<String>,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Show what daemons have logged.
    Logs(LogOptions),
}

#[derive(Debug, Args)]
pub(super) struct UpOptions {
    /// Names of the nodes, 1 to 64; or how many, which are called node1, node2 and so on.
    #[arg(long, value_delimiter = ',', default_value = "magenta,wintermute", value_parser = name)]
    pub(super) nodes: Vec<String>,
    /// Links of each node, eth0 and so on, each to a switch of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(super) links: u8,
    /// Largest payload of a frame, in bytes.
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(256..=65535))]
    pub(super) mtu: u32,
    /// Serve a host directory as /home of a node; without DIR, a scratch directory. Without this
    /// option every node gets a scratch directory, with it the others have no /home.
    #[arg(long, value_name = "NODE[:DIR]")]
    pub(super) home: Vec<String>,
    /// No filesystem managers.
    #[arg(long, conflicts_with = "home")]
    pub(super) no_home: bool,
    /// Leave the cable of a node unplugged: the others do not hear of it before heal.
    #[arg(long, value_name = "NODE")]
    pub(super) unplugged: Vec<String>,
    /// Nodes without qnet.
    #[arg(long)]
    pub(super) no_qnet: bool,
    /// Nodes without any daemon: just namespaces and cables.
    #[arg(long)]
    pub(super) bare: bool,
    /// A further option for every qnet, such as --qnet-option=--tolerance-ms=500. Without one for it users count as
    /// themselves on all nodes (--map=identity), root too.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(super) qnet_option: Vec<String>,
    /// Stay; the lab ends with this command, by Ctrl-C for one.
    #[arg(long)]
    pub(super) foreground: bool,
    /// The lab ends when standard input does.
    #[arg(long, hide = true)]
    pub(super) tied: bool,
    /// Say nothing if all is well.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Options of the demo.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Write the frames of the demo as a capture file that Wireshark reads.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// Leave the lab up afterwards, to look around in it.
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub(super) struct FaultOptions {
    /// Percent of the frames to lose.
    #[arg(long, default_value_t = 0.0, value_parser = percent)]
    pub(super) loss: f64,
    /// Percent of the frames to deliver twice.
    #[arg(long, default_value_t = 0.0, value_parser = percent)]
    pub(super) dup: f64,
    /// Percent of the frames that up to four later ones overtake.
    #[arg(long, default_value_t = 0.0, value_parser = percent)]
    pub(super) reorder: f64,
    /// Delay of each frame, in microseconds (the switch's clock ticks in milliseconds).
    #[arg(long, default_value_t = 0)]
    pub(super) delay_us: u64,
    /// The same seed does the same to the same frames.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// No faults any more.
    #[arg(long, conflicts_with_all = ["loss", "dup", "reorder", "delay_us", "seed"])]
    pub(super) off: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogOptions {
    /// The node; all nodes if none is named.
    pub(super) node: Option<String>,
    /// The daemon; all of the node's if none is named.
    pub(super) daemon: Option<String>,
    /// Wait for more.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// The events of walks that the daemon traced, instead of its log.
    #[arg(long)]
    pub(super) trace: bool,
}

/// Ways to cut a node off.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum How {
    /// The cable is pulled: both ends lose their carrier.
    Link,
    /// Silently, in both directions.
    Both,
    /// Silently: what the node sends is lost.
    From,
    /// Silently: what is sent to the node is lost.
    To,
}

impl From<How> for Cut {
    fn from(how: How) -> Cut {
        match how {
            How::Link => Cut::Link,
            How::Both => Cut::Both,
            How::From => Cut::From,
            How::To => Cut::To,
        }
    }
}

impl From<&FaultOptions> for Faults {
    fn from(options: &FaultOptions) -> Faults {
        Faults {
            loss: options.loss,
            dup: options.dup,
            reorder: options.reorder,
            delay_us: options.delay_us,
            seed: options.seed,
        }
    }
}

/// What labs and nodes may be called: it becomes part of host names, paths and socket names.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len());
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    match fits && plain && !text.starts_with('-') {
        true => Ok(text.to_owned()),
        false => {
            Err("a name has 1 to 63 letters, digits, - and _, and does not start with -".into())
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim();
    let value: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=100.0).contains(&value) {
        Ok(value)
    } else {
        Err("a percentage, 0 to 100".into())
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        for bad in ["", "..", "a/b", "-a", "a b", "\u{e9}"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(name("node-7").as_deref(), Ok("node-7"));
    }

    #[test]
    fn percentages_are_bounded() {
        assert_eq!(percent("5"), Ok(5.0));
        assert_eq!(percent("0.5%"), Ok(0.5));
        assert!(percent("101").is_err());
        assert!(percent("NaN").is_err());
    }
}
