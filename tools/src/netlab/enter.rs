//! Running a command on a node: into its namespaces, then the command as a child of this process, on
//! this terminal.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use super::control::Control;
use super::protocol::{Answer, Entrance, Order};
use super::sys;

/// Exit code when the command could not be started, as shells have it.
const NOT_STARTED: i32 = 127;
/// Signals that this process passes on to the command.
const PASSED_ON: [Signal; 3] = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT];

/// A command to run on a node.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// The node.
    pub node: String,
    /// Program and arguments; empty: the user's shell.
    pub command: Vec<OsString>,
    /// Environment variables beside those of the node.
    pub environment: Vec<(OsString, OsString)>,
}

/// Runs a command on a node and returns its exit code (128 + signal if one killed it).
///
/// The calling process must have a single thread, and is left in the node's namespaces.
///
/// # Errors
/// There is no such lab or node, or its namespaces cannot be entered.
pub(super) fn run(lab: &str, visit: &Visit) -> io::Result<i32> {
    let order = Order::Enter {
        node: visit.node.clone(),
    };
    let (answer, fds) = Control::connect(lab)?.order(&order)?;
    let Answer::Entrance(entrance) = answer else {
        return Err(io::Error::other(
            "the supervisor answered something else than an entrance",
        ));
    };
    let here = std::env::current_dir();
    enter(&entrance, &fds).map_err(|error| {
        io::Error::new(
            io::Error::from(error).kind(),
            format!("entering the namespaces of {}: {error}", visit.node),
        )
    })?;
    // The mount namespace has the host's directories, but entering it leads to its root.
    if !here.is_ok_and(|here| std::env::set_current_dir(here).is_ok()) {
        std::env::set_current_dir("/")?;
    }
    // A pid namespace is entered by children only.
    let mut signals = SigSet::empty();
    PASSED_ON.into_iter().for_each(|signal| signals.add(signal));
    signals.thread_block()?;
    match sys::fork_single_threaded()? {
        ForkResult::Parent { child } => watch(child, &signals),
        ForkResult::Child => {
            signals.thread_unblock()?;
            // Nobody would wait for the command, nor end it, if this process was killed.
            set_pdeathsig(Signal::SIGKILL)?;
            let error = command(&entrance, visit).exec();
            eprintln!(
                "netlab: {}: {error}",
                visit
                    .command
                    .first()
                    .map_or("sh".into(), |p| p.display().to_string())
            );
            std::process::exit(NOT_STARTED);
        }
    }
}

fn enter(entrance: &Entrance, fds: &[OwnedFd]) -> nix::Result<()> {
    let kinds = [
        CloneFlags::CLONE_NEWUSER,
        CloneFlags::CLONE_NEWNS,
        CloneFlags::CLONE_NEWPID,
        CloneFlags::CLONE_NEWNET,
        CloneFlags::CLONE_NEWUTS,
    ];
    let skipped = usize::from(!entrance.user_namespace);
    for (fd, kind) in fds.iter().zip(&kinds[skipped..]) {
        setns(fd, *kind)?;
    }
    Ok(())
}

fn command(entrance: &Entrance, visit: &Visit) -> Command {
    let mut command = match visit.command.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None => {
            let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
            // Other shells would print bash's escapes as they are.
            let prompt = match Path::new(&shell).file_name() {
                Some(name) if name == "bash" => format!("{}:\\w\\$ ", visit.node),
                _ => format!("{}$ ", visit.node),
            };
            let mut command = Command::new(shell);
            command.env("PS1", prompt).arg("-i");
            command
        }
    };
    command.envs(
        entrance
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    command.envs(visit.environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Waits for the child; signals meant to end this process end the child.
fn watch(child: Pid, signals: &SigSet) -> io::Result<i32> {
    let mut waited = *signals;
    waited.add(Signal::SIGCHLD);
    waited.thread_block()?;
    loop {
        match waitpid(child, Some(nix::sys::wait::WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
            _ => {}
        }
        match waited.wait()? {
            Signal::SIGCHLD => {}
            // The terminal's own interrupt reaches the child without us; a second one does no harm.
            signal => {
                let _ = kill(child, signal);
            }
        }
    }
}
