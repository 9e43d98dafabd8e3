//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::place::Place;

/// Files on any node, and what a node runs
#[derive(Parser, Debug)]
#[command(name = "qn", version, after_help = AFTER_HELP)]
pub(super) struct Options {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// The node's runtime directory, as given to its procmgr [default: $QNET_RUNTIME_DIR, else /run/qnet for root, else
    /// $XDG_RUNTIME_DIR/qnet, else /tmp/qnet-UID]
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) runtime_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List directories of the pathname space
    Ls {
        /// With permissions, size and time
        #[arg(short, long)]
        long: bool,
        /// What to list
        #[arg(value_name = "PATH", default_value = "/")]
        paths: Vec<PathBuf>,
    },
    /// Print files
    Cat {
        /// Files; `host:PATH` is one of this machine, `-` standard input
        #[arg(value_name = "FILE", required = true)]
        paths: Vec<Place>,
    },
    /// Copy files, between nodes and between the pathname space and this machine
    #[command(override_usage = "qn cp [OPTIONS] FROM... TO")]
    Cp {
        /// Directories with all that is in them
        #[arg(short, long)]
        recursive: bool,
        /// What to copy, and last where to; `host:PATH` is on this machine, `-` standard input or output
        #[arg(value_name = "FILE", required = true, num_args = 2..)]
        paths: Vec<Place>,
    },
    /// Show what is known of files
    Stat {
        /// Of a symbolic link itself
        #[arg(short = 'P', long)]
        no_follow: bool,
        /// Which
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Remove files
    Rm {
        /// Empty directories as well
        #[arg(short, long)]
        dir: bool,
        /// Directories with all below them that is on the same server and file system
        #[arg(short, long, conflicts_with = "dir")]
        recursive: bool,
        /// Which
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Make directories
    Mkdir {
        /// Those above as well; one that is there already is fine
        #[arg(short, long)]
        parents: bool,
        /// Which
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Rename a file, on the server that has it
    Mv {
        /// The name it has
        from: Place,
        /// The name it gets; a directory keeps the last component
        to: Place,
    },
    /// List the nodes known, and the state of each
    ///
    /// States: here (this node), up (there is a session with it), connecting, known (there is none: nothing was asked
    /// of it lately), down (it did not answer when it was asked last), for how long and why: silent (it fell
    /// silent: killed, stopped or cut off), unreachable (it never answered), goodbye (its qnet was stopped), name in use, or
    /// that frames of 576 bytes do not pass (a switch or tunnel on the way).
    /// SENT and RECEIVED count messages, LOST packets, also those that only came late, as on a busy machine; PATHS
    /// are those up of those there are.
    Net {
        /// With all that qnet counts: paths, windows, losses, records per frame, frames per system call, links,
        /// drops by reason
        #[arg(short, long)]
        long: bool,
        #[command(flatten)]
        of: OfNode,
    },
    /// Watch the nodes, their paths and the links, with rates, in the terminal
    Top {
        /// Seconds between readings
        #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
        every: Duration,
        #[command(flatten)]
        of: OfNode,
    },
    /// List the processes that own channels or prefixes
    Ps(OfNode),
    /// List channels: how many wait on each, and what its messages cost
    ///
    /// RECEIVE, SEND and REPLY count those that are blocked. WOKEN are clients that slept and had to be woken, AWAKE
    /// those that were still looking when their answer came; SPINS receives that found something while they looked,
    /// IN VAIN those that looked and slept. FAULTS are messages dropped unanswered and malformed ones.
    Channels(OfNode),
    /// List blocked threads: in which state, and on whom
    Blocked(OfNode),
    /// List registered prefixes and names
    Names(OfNode),
    /// Print what a shell completes of all programs, or write a file for each
    Completions {
        /// Which
        shell: Shell,
        /// Write the files here, by the names that the shell looks for
        #[arg(short, long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Write the manual pages of all programs
    Man {
        /// Where to, such as /usr/local/share/man/man1
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Run a program whose open, read, write, ... know the pathname space
    #[command(after_help = AFTER_RUN_HELP)]
    Run {
        /// The program and its arguments
        #[arg(
            value_name = "CMD",
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        command: Vec<OsString>,
    },
}

impl Options {
    /// Why `--json` cannot be obeyed, if it is given: what is printed is another program's, or for people alone.
    pub(super) fn refused_json(&self) -> Option<&'static str> {
        if !self.json {
            return None;
        }
        match &self.command {
            Command::Run { .. } => Some(
                "`run` prints what the program prints; an option of the program follows it: qn run -- CMD --json",
            ),
            Command::Completions { dir: None, .. } => Some(
                "completions are printed for the shell; leave out --json, or write files: --dir DIR",
            ),
            Command::Top { .. } => {
                Some("top is a view for people; for programs: qn --json net --long")
            }
            _ => None,
        }
    }
}

#[derive(Args, Debug, Default)]
pub(super) struct OfNode {
    /// Ask this node instead of the own one
    #[arg(short, long, value_name = "NODE")]
    pub(super) node: Option<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.ok_or_else(|| format!("{text:?} is not a number of seconds such as 0.5"))
}

const AFTER_HELP: &str = "\
Paths are those of the pathname space, as procmgr knows it: /net/wintermute/home is on another node.
Only cat and cp also take files of this machine's own file system: write host:PATH (relative ones too).

Examples:
  qn ls -l /net/wintermute/home                  a directory there
  qn cp host:report.pdf /net/wintermute/home/    from this machine to there
  qn cp /net/wintermute/home/rk/log host:.       and back
  qn cat /net/wintermute/home/rk/log             to standard output
  tar c src | qn cp - /net/wintermute/home/src.tar
  qn net                                         the nodes known
  qn net -l                                      and all that is counted; live: qn top
  qn blocked --node wintermute                   who waits for whom there
  qn run -- grep -r TODO /net/wintermute/home    any program, unmodified

Exit code: 0 done, 1 something failed (standard error says what), 2 the command line is wrong.
`run` ends with the exit code of the program, or 127 and 126 as shells do: not found, not executable.";

const AFTER_RUN_HELP: &str = "\
The program opens, reads, writes, lists, renames, ... files of every node with the C library's own \
functions; what no server of the pathname space answers for stays the system's, but for directories above a \
prefix where this machine has none. A library stands in front \
of the C library for that (LD_PRELOAD). Programs it starts have that too, and share the files they inherit: \
`qn run -- sh -c 'sort < /net/... > /net/...'` does what it says (your own shell, outside of `qn run`, knows \
nothing of /net). Statically linked and set-user-ID programs, and those that make system calls themselves, do \
without: an inherited file is EBADF to them.

Where it cannot be done on the node the call fails, with the errno given, and never does it to a file of \
this machine that has the same path:
  mmap, shared             ENODEV for who can write, by the mapping or the descriptor: databases that need it do not
                           work on such files. All other mappings are copies, as the file was when it was mapped
  epoll                    EPERM, as for any regular file; poll and select know such files as always ready, and ask the
                           servers of devices, for a second at most: so long a signal waits if one does not answer
  extended attributes      EOPNOTSUPP: ACLs and capabilities are not copied
  mkfifo, mknod            EPERM
  inotify                  EOPNOTSUPP: nobody here is told of changes there; tail -f looks again and again by itself
  freopen                  EOPNOTSUPP for a stream over a file of this machine, other than the standard three
  F_SETFL                  EINVAL for O_APPEND, which is asked for at the opening
  fallocate                EOPNOTSUPP for anything but more room
  wprintf, wscanf          -1; other functions for wide characters, and all for bytes, work
Libraries, sockets and the file actions of posix_spawn are this machine's whatever their path is. So are programs to be \
executed, where this machine has them; those of other nodes are copied into memory: links to programs there do not count, \
execl and fexecve do not find them, and /proc/self/exe does not name them. Locks are those of open files, whichever way \
they are asked for, as with flock. Signals that a program handles do not \
end what it does with files, as on any disk; they end reads of devices, and writes of those that it has read or asked \
about. A file that its opener closes while a program that it spawned is still starting is EBADF there.

Examples:
  qn run -- cp -r /net/wintermute/home/rk .
  qn run -- python3 report.py /net/wintermute/home/rk/data.csv
  qn run -- sh -c 'gzip < big > /net/wintermute/home/rk/big.gz'
  qn run -- bash                        a shell for it all: cd /net/wintermute/home/rk; git init; make

Exit code: that of the program; 127 if there is no such program, 126 if it cannot be executed, 1 if there \
is no node to run it on (standard error says why).";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn what_follows_run_is_the_programs_own() {
        let options = Options::parse_from(["qn", "run", "--", "ls", "--json", "-l"]);
        let Command::Run { command } = options.command else {
            panic!("it is run")
        };
        assert_eq!(command, ["ls", "--json", "-l"]);
        assert!(!options.json);
    }

    #[test]
    fn json_is_refused_where_nothing_is_printed_as_such() {
        let refused = |arguments: &[&str]| {
            let line = ["qn"].iter().chain(arguments);
            Options::parse_from(line).refused_json().is_some()
        };
        assert!(refused(&["--json", "run", "--", "ls"]));
        assert!(refused(&["run", "--json", "ls"]));
        assert!(refused(&["completions", "bash", "--json"]));
        assert!(refused(&["top", "--json"]));
        assert!(!refused(&["run", "ls", "--json"]));
        assert!(!refused(&["completions", "bash", "--json", "--dir", "x"]));
        assert!(!refused(&["--json", "ps"]));
        assert!(!refused(&["top"]));
    }
}
