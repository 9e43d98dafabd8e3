//! The supervisor: one process that is a lab.
//!
//! It is process 1 of a pid namespace, and all processes of all nodes live in there: when it ends,
//! however it ends, the kernel kills them. Network, mount and host-name namespaces are held by
//! descriptors of the supervisor and by those processes, files lie in a tmpfs that is mounted in the
//! lab's mount namespace only, and the control socket has an abstract name. So nothing of a lab has a
//! name that outlives it, and there is nothing to clean up.
//!
//! ```text
//!  netlab up --> user namespace (if not root), mount and pid namespace
//!                  supervisor, pid 1; its network namespace is the switch
//!                    |-- port0 ==veth== eth0 | magenta:    procmgr qnet fs-export
//!                    |-- port1 ==veth== eth0 | wintermute: procmgr qnet fs-export
//!                  /dev/shm: tmpfs with a directory for each node
//! ```

mod daemon;
mod isolate;
mod lab;
mod node;
mod serve;
mod wiring;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::{Deserialize, Serialize};

use super::programs::Programs;
use super::protocol::Answer;

use lab::Lab;

/// The lab's own tmpfs. Every system with a C library has the directory, and what POSIX shared
/// memory the nodes' programs make has no business outside the lab.
pub(super) const LAB_DIR: &str = "/dev/shm";

/// What a lab is to consist of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LabPlan {
    /// Name of the lab, unique for a user.
    pub lab: String,
    /// The nodes.
    pub nodes: Vec<NodePlan>,
    /// Links of each node, each to a switch of its own: 1 to 8.
    pub links: usize,
    /// Largest payload of a frame, in bytes.
    pub mtu: u32,
    /// Where the programs of a node are.
    pub programs: Programs,
    /// Options for every qnet beyond those the lab gives it.
    pub qnet_options: Vec<String>,
    /// The lab ends when the standard input of `start`'s caller does.
    pub tied_to_stdin: bool,
}

/// What a node is to consist of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NodePlan {
    /// Its name.
    pub name: String,
    /// It runs procmgr.
    pub procmgr: bool,
    /// It runs qnet.
    pub qnet: bool,
    /// Its cable is not plugged in yet.
    pub unplugged: bool,
    /// What its filesystem manager serves as `/home`.
    pub home: Home,
}

/// What a node's `/home` is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Home {
    /// There is none, and no filesystem manager.
    None,
    /// A directory that exists as long as the lab does.
    Scratch,
    /// A directory of the host.
    Dir(PathBuf),
}

/// Brings a lab up; returns in the calling process, when all daemons are ready.
///
/// The caller must have a single thread, and is left in the lab's user namespace.
///
/// # Errors
/// What could not be made, why that may be, and what mends it. Nothing is left then.
pub(super) fn start(plan: &LabPlan) -> io::Result<String> {
    let stdin = plan
        .tied_to_stdin
        .then(|| io::stdin().as_fd().try_clone_to_owned())
        .transpose()?;
    let (report, reporter) = io::pipe()?;
    match isolate::enter_new_namespaces(&plan.lab)? {
        isolate::Side::Caller => {
            drop(reporter);
            wait_for_report(report)
        }
        isolate::Side::Supervisor(isolated) => {
            drop(report);
            let code = supervise(plan, isolated, stdin, reporter);
            std::process::exit(code)
        }
    }
}

fn wait_for_report(mut report: io::PipeReader) -> io::Result<String> {
    let mut text = String::new();
    report.read_to_string(&mut text)?;
    match serde_json::from_str(&text) {
        Ok(Answer::Done { note }) => Ok(note),
        Ok(Answer::Failed { why }) => Err(io::Error::other(why)),
        _ => Err(io::Error::other(
            "the supervisor ended without a word while the lab came up",
        )),
    }
}

/// Runs the lab until it is told to end; the process's exit code.
fn supervise(
    plan: &LabPlan,
    isolated: io::Result<isolate::Isolated>,
    stdin: Option<OwnedFd>,
    mut reporter: io::PipeWriter,
) -> i32 {
    let run = || -> io::Result<_> {
        let isolated = isolated?;
        tracing_subscriber::fmt()
            .with_writer(io::stderr)
            .with_ansi(false)
            .init();
        let signals = block_signals()?;
        let lab = Arc::new(Lab::build(plan, isolated.user_namespace)?);
        lab.start_daemons()?;
        Ok((lab, isolated.listener, signals))
    };
    let (report, running) = match run() {
        Ok(running) => (
            Answer::Done {
                note: String::new(),
            },
            Some(running),
        ),
        Err(error) => (
            Answer::Failed {
                why: error.to_string(),
            },
            None,
        ),
    };
    let told = serde_json::to_vec(&report).map(|bytes| reporter.write_all(&bytes));
    drop(reporter);
    let Some((lab, listener, signals)) = running else {
        return 1;
    };
    if !matches!(told, Ok(Ok(()))) {
        return 1;
    }
    match attend(&lab, &listener, &signals, stdin.as_ref()) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "the supervisor cannot wait for events and ends the lab");
            1
        }
    }
}

/// Waits for orders, signals, and the end of the process the lab is tied to.
fn attend(
    lab: &Arc<Lab>,
    listener: &std::os::unix::net::UnixListener,
    signals: &SignalFd,
    stdin: Option<&OwnedFd>,
) -> io::Result<()> {
    loop {
        let mut ready = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        ready.extend(stdin.map(|stdin| PollFd::new(stdin.as_fd(), PollFlags::POLLIN)));
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let happened = |index: usize| {
            ready
                .get(index)
                .and_then(PollFd::revents)
                .is_some_and(|events| !events.is_empty())
        };
        if happened(0) && was_told_to_stop(signals)? || happened(2) && has_ended(stdin) {
            lab.stop_daemons();
            return Ok(());
        }
        lab.reap();
        if happened(1) {
            let (stream, _) = listener.accept()?;
            let lab = Arc::clone(lab);
            std::thread::Builder::new()
                .name("order".into())
                .spawn(move || {
                    if let Err(error) = serve::serve(&lab, stream) {
                        tracing::warn!(%error, "an order was not carried out");
                    }
                })?;
        }
    }
}

fn block_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

fn was_told_to_stop(signals: &SignalFd) -> io::Result<bool> {
    let mut stop = false;
    while let Some(signal) = signals.read_signal()? {
        stop |= signal.ssi_signo != Signal::SIGCHLD as u32;
    }
    Ok(stop)
}

/// Standard input says nothing any more: who held its other end is gone.
fn has_ended(stdin: Option<&OwnedFd>) -> bool {
    let Some(Ok(stdin)) = stdin.map(OwnedFd::try_clone) else {
        return false;
    };
    let mut scrap = [0; 256];
    matches!(File::from(stdin).read(&mut scrap), Ok(0) | Err(_))
}
