//! The program: its options, its start and its end.

use std::path::PathBuf;

use clap::Parser;
use ipc_core::Channel;
use ipc_core::abi::proc::{NameEntry, PrefixFlags};
use ipc_core::abi::{ChannelFlags, Nd};
use ipc_core::file::describe_refused_prefix;
use ipc_core::proc::{Pathname, attach_prefix, table};
use ipc_core::resmgr::Dispatch;
use qnet::daemon::{
    LogOptions, StopSignal, init_logging, notify_ready, notify_stopping, raise_descriptor_limit,
};

use super::{identity::Identity, service::Service, tree::Tree};

/// Serve a directory of this machine under a prefix of the pathname space.
///
/// Clients on this node open PREFIX/..., clients on other nodes /net/NODE/PREFIX/... Nothing leads out of
/// HOST_DIR: neither "..", nor an absolute path, nor a symbolic link. As root, every operation is done with
/// the rights of the client's user; as an ordinary user, only clients of that same user are served. Fifos,
/// sockets and devices below HOST_DIR are listed but cannot be opened.
#[derive(Parser, Debug)]
#[command(name = "fs-export", version, after_help = AFTER_HELP)]
pub struct Options {
    /// The directory to serve
    #[arg(value_name = "HOST_DIR")]
    pub host_dir: PathBuf,

    /// Where it appears, such as /home
    #[arg(value_name = "PREFIX")]
    pub prefix: String,

    /// Refuse everything that would change a file or name (EROFS)
    #[arg(long)]
    pub read_only: bool,

    /// Threads that serve clients at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,

    /// Log
    #[command(flatten)]
    pub log: LogOptions,
}

const AFTER_HELP: &str = "\
It registers with the procmgr of the node whose runtime directory QNET_RUNTIME_DIR names (by default \
/run/qnet for root, else $XDG_RUNTIME_DIR/qnet, else /tmp/qnet-UID), prints `ready: ...`, and stops on \
SIGTERM and SIGINT.

Examples:
  fs-export /home /home                       then, here: qn ls /home
  fs-export --read-only /usr/share/doc /doc   and elsewhere: qn ls /net/NODE/doc";

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What failed, the likely cause and what mends it, for a person to read.
pub fn run(options: &Options) -> Result<(), String> {
    init_logging(&options.log);
    raise_descriptor_limit();
    // Before the first thread: all inherit the mask.
    let stop =
        StopSignal::install().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let tree = open_tree(options)?;
    // Modes come with the client's umask applied; ours must not be applied again.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let identity = Identity::of_process();
    if let Identity::OwnUserOnly(uid) = identity {
        tracing::warn!(
            "not privileged: only clients of user {uid} are served; run as root to serve others"
        );
    }
    let channel = Channel::create(ChannelFlags::DISCONNECT)
        .map_err(|errno| format!("cannot create a channel: {errno}"))?;
    let dispatch = Dispatch::new(Service::new(tree, identity)).threads(options.threads.into());
    let served = std::thread::scope(|scope| {
        let serving = scope.spawn(|| dispatch.run(&channel));
        let waited = announce_and_wait(options, &channel, &stop);
        let stopped = dispatch
            .stop(&channel)
            .map_err(|errno| format!("cannot stop serving: {errno}"));
        let served = serving.join().expect("serving does not panic");
        waited
            .and(stopped)
            .and(served.map_err(|errno| format!("cannot receive: {errno}")))
    });
    drop(channel);
    ipc_core::retire();
    // What it could not do says the error, and nothing went well before it.
    served.inspect(|()| tracing::info!("stopped"))
}

fn open_tree(options: &Options) -> Result<Tree, String> {
    Tree::new(&options.host_dir, options.read_only).map_err(|errno| {
        let dir = options.host_dir.display();
        format!("cannot serve {dir}: {errno}\nIt must be a directory that this user may search: ls -ld {dir}")
    })
}

/// Says who else serves the prefix: the newest comes first, and hides what the others have under the same names.
fn tell_of_others(options: &Options) {
    let Ok(path) = Pathname::of(&options.prefix) else {
        return;
    };
    // Who cannot read the table is served all the same.
    let names = table::<NameEntry>(Nd::LOCAL).unwrap_or_default();
    let of_prefix = names.iter().filter(|name| name.path == path.as_bytes());
    let pids: Vec<_> = of_prefix.map(|name| name.pid.0.cast_unsigned()).collect();
    let own = std::process::id();
    let place = pids.iter().position(|&pid| pid == own);
    let (before, behind) = pids.split_at(place.unwrap_or(0));
    let list = |pids: &[u32]| {
        let others = pids.iter().filter(|&&pid| pid != own);
        others.map(u32::to_string).collect::<Vec<_>>().join(", ")
    };
    let prefix = &options.prefix;
    if behind.iter().any(|&pid| pid != own) {
        tracing::warn!(
            "{prefix} is served by process {} already: this server now stands before it, and hides its files of the same \
             names; see: qn names; if that is not meant, stop one of them",
            list(behind)
        );
    }
    if !before.is_empty() {
        tracing::warn!(
            "{prefix} is served by process {} first: this server stands behind it, and only names missing there are found \
             here; see: qn names; if that is not meant, stop one of them",
            list(before)
        );
    }
}

/// Puts the prefix into the pathname space, and takes it out when told to stop.
fn announce_and_wait(
    options: &Options,
    channel: &Channel,
    stop: &StopSignal,
) -> Result<(), String> {
    let registration =
        attach_prefix(&options.prefix, channel, PrefixFlags::DIR).map_err(|errno| {
            let told = describe_refused_prefix(errno, &options.prefix);
            format!("cannot register {told}")
        })?;
    tell_of_others(options);
    tracing::info!(
        dir = %options.host_dir.display(), prefix = options.prefix, read_only = options.read_only,
        threads = options.threads, "serving"
    );
    notify_ready(&format!(
        "fs-export {} on {}",
        options.host_dir.display(),
        options.prefix
    ));
    let reason = stop
        .wait()
        .map_err(|error| format!("cannot wait for signals: {error}"))?;
    tracing::info!("stopping: {reason}");
    notify_stopping(&reason);
    drop(registration);
    Ok(())
}
