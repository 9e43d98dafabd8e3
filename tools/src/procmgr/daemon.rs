//! Start, loop and stop.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use clap::Parser;
use ipc_core::{
    Alias, Channel, Received, ReceivedMessage,
    abi::{
        ChannelFlags, Chid, Errno, PulseCode, Result,
        limits::PRIORITY_DEFAULT,
        proc::{message_type, peek_type},
    },
    claim_alias,
    proc::{
        registry::Registry,
        rules::{Rule, Rules},
    },
    remove_runtime_dir_if_unused,
    resmgr::Dispatch,
    retire, runtime_dir, set_runtime_dir,
};
use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};
use qnet::daemon::{
    StopSignal, init_logging, notify_ready, notify_stopping, raise_descriptor_limit,
};
use tracing::{error, info};

use super::{config, manager::Manager, options::Options, tables::Tables};

/// Wakes the loop so that it sees the stop.
const STOP: PulseCode = PulseCode::MAX_AVAIL;

/// What ended a daemon that was not told to end, as a person needs it.
type Fault = String;

/// The program.
pub fn main() -> ExitCode {
    let options = Options::parse();
    init_logging(&options.log);
    raise_descriptor_limit();
    let ended = run(&options);
    retire();
    let named = std::env::var_os("QNET_RUNTIME_DIR").is_some_and(|dir| !dir.is_empty());
    if options.runtime_dir.is_none() && !named {
        // Nobody asked for this directory by name; while anything of the node is left in it, it stays.
        remove_runtime_dir_if_unused(&runtime_dir());
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("procmgr: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Is the process manager of the node at `runtime_dir`, with the default rules, until told to stop: for
/// a program that makes nodes of its own.
///
/// # Errors
/// Why it cannot start or go on, as a person needs it.
pub fn serve_node(runtime_dir: &Path) -> std::result::Result<(), String> {
    let words = [
        OsStr::new("procmgr"),
        OsStr::new("--runtime-dir"),
        runtime_dir.as_os_str(),
    ];
    let options = Options::try_parse_from(words).map_err(|error| error.to_string())?;
    run(&options)
}

fn run(options: &Options) -> std::result::Result<(), Fault> {
    let rules = options
        .config
        .as_deref()
        .map_or_else(|| Ok(Vec::new()), config::load)?;
    if let Some(dir) = &options.runtime_dir {
        set_runtime_dir(dir.clone());
    }
    let stop =
        StopSignal::install().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let channel = listen().map_err(refusal)?;
    let tables = Tables::start().map_err(|error| format!("cannot start a thread: {error}"))?;
    let manager = Dispatch::new(Manager::new(Registry::new(node_rules(rules)?), tables));

    announce().map_err(|errno| format!("cannot touch the own socket: {errno}"))?;
    info!(
        "procmgr {} on {}",
        std::process::id(),
        runtime_dir().display()
    );
    notify_ready(&format!("procmgr on {}", runtime_dir().display()));

    let channel = Arc::new(channel);
    let is_stopping = Arc::new(AtomicBool::new(false));
    stop_on_signal(stop, Arc::clone(&channel), Arc::clone(&is_stopping))
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    serve(&channel, &manager, &is_stopping)
        .map_err(|errno| format!("cannot receive any more: {errno}"))
}

fn stop_on_signal(
    stop: StopSignal,
    channel: Arc<Channel>,
    is_stopping: Arc<AtomicBool>,
) -> io::Result<()> {
    let wait = move || {
        match stop.wait() {
            Ok(reason) => {
                info!("stopping: {reason}");
                notify_stopping(&reason);
            }
            Err(error) => {
                error!("stopping: signals cannot be waited for: {error}");
                notify_stopping(&error);
            }
        }
        is_stopping.store(true, Ordering::Release);
        // A full queue of pulses wakes the loop as well.
        channel.send_pulse(PRIORITY_DEFAULT, STOP, 0).ok();
    };
    thread::Builder::new()
        .name("stop".to_owned())
        .spawn(wait)
        .map(drop)
}

/// Receives until told to stop. One thread: a registration and the death of who made it keep their order.
fn serve(channel: &Channel, manager: &Dispatch<Manager>, is_stopping: &AtomicBool) -> Result<()> {
    while !is_stopping.load(Ordering::Acquire) {
        match channel.receive() {
            Ok(Received::Message(message)) if is_own(&message) => {
                manager.manager().handle(message);
            }
            Ok(received) => {
                if let Received::Pulse(pulse) = &received
                    && pulse.code == PulseCode::DISCONNECT
                {
                    // Before the dispatch, which lets go of the id.
                    manager.manager().forget(pulse.scoid);
                }
                manager.handle(channel, received);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether the message is of one of the process manager's types, rather than connect or I/O.
fn is_own(message: &ReceivedMessage) -> bool {
    let mut head = [0; 2];
    let kind = message
        .read(0, &mut head)
        .and_then(|len| peek_type(&head[..len]));
    kind.is_ok_and(|kind| (message_type::REGISTER..=message_type::QUERY).contains(&kind))
}

/// The channel 1 of this process, found under the process manager's alias.
fn listen() -> Result<Channel> {
    let channel = Channel::create(ChannelFlags::DISCONNECT)?;
    assert_eq!(
        channel.chid(),
        Chid::PROCMGR,
        "the first channel of a process has the smallest id"
    );
    claim_alias(Alias::ProcessManager)?;
    Ok(channel)
}

fn refusal(errno: Errno) -> Fault {
    let dir = runtime_dir();
    let dir = dir.display();
    match errno {
        Errno::EADDRINUSE => format!(
            "another procmgr answers in {dir}; see it with: qn ps; or be another node: procmgr --runtime-dir DIR"
        ),
        Errno::EPERM | Errno::EACCES => format!(
            "{dir} belongs to another user, who owns that node; see: ls -ld {dir}; \
             or be another node: procmgr --runtime-dir DIR"
        ),
        errno => format!("cannot listen in {dir}: {errno}; see: ls -ld {dir}"),
    }
}

/// The rules of this node, whose owner is that of the runtime directory.
fn node_rules(rules: Vec<Rule>) -> std::result::Result<Rules, Fault> {
    let dir = runtime_dir();
    let owner = fs::metadata(&dir)
        .map_err(|error| format!("cannot tell whose node {} is: {error}", dir.display()))?;
    Ok(Rules::new(owner.uid(), rules))
}

/// Touches the own socket: servers that watch the directory learn from it that their registrations are
/// welcome again. Both times, or it would not be a change of attributes.
fn announce() -> nix::Result<()> {
    let (now, path) = (TimeSpec::UTIME_NOW, runtime_dir().join("1.sock"));
    utimensat(AT_FDCWD, &path, &now, &now, UtimensatFlags::FollowSymlink)
}
