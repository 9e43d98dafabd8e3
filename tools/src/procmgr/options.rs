//! The command line of procmgr.

use std::path::PathBuf;

use clap::{Command, CommandFactory, Parser};
use qnet::daemon::LogOptions;

/// The process manager of a node: knows which server owns which path
#[derive(Parser, Clone, Debug)]
#[command(name = "procmgr", version, after_help = AFTER_HELP)]
pub(super) struct Options {
    /// The directory that makes processes belong to one node
    ///
    /// Default: $QNET_RUNTIME_DIR, else /run/qnet for root, else $XDG_RUNTIME_DIR/qnet, else /tmp/qnet-UID. Several nodes on one
    /// machine have one each.
    #[arg(long, value_name = "DIR")]
    pub(super) runtime_dir: Option<PathBuf>,

    /// Who may register which paths (TOML); without it, the owner of the node everything and others names
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) log: LogOptions,
}

/// The program's arguments.
pub(crate) fn command_line() -> Command {
    Options::command()
}

const AFTER_HELP: &str = "\
One procmgr runs per node, as the owner of the runtime directory. Servers register paths with it,
clients ask it who owns a path and then talk to that server directly. If it is killed, connections
between other processes go on; start it again and servers register again by themselves.

Configuration file, any number of rules (one of user, group, everyone each; names or numbers):

  [[allow]]
  prefix = \"/home\"
  user = \"rk\"

Examples:
  procmgr                                     the node of this user
  procmgr --runtime-dir /tmp/magenta          one node of several on this machine
  qn names                                    what is registered
  qn ls /                                     the pathname space

It prints `ready: ...` when it answers, stops on SIGTERM and SIGINT, and logs to standard error.
The default directory goes with it once nothing is left in there; one that was named stays.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
