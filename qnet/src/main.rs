//! The `qnet` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use qnet::{
    capture::{self, CaptureOptions},
    config::{Config, Options},
    daemon::{
        LogOptions, StopSignal, init_logging, notify_ready, notify_stopping, raise_descriptor_limit,
    },
    node::Node,
};

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
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Subcommand)]
enum Command {
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

fn main() -> ExitCode {
    let line = CommandLine::parse();
    init_logging(&line.log);
    raise_descriptor_limit();
    let ended = match &line.command {
        Some(Command::Capture(options)) => record(options),
        None => run(&line.options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qnet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    // Before the first thread: all threads must leave the signals to this one.
    let stop = StopSignal::install()?;
    let config = Config::load(options)?;
    if let Some(dir) = &config.runtime_dir {
        ipc_core::set_runtime_dir(dir.clone());
    }
    if let Some(path) = &config.trace {
        ipc_core::trace::to_file(path)
            .map_err(|error| format!("the trace {} cannot be written: {error}", path.display()))?;
    }
    let node = Node::start(config)?;
    notify_ready(node.what());
    match node.wait(&stop)? {
        Some(reason) => {
            tracing::info!("stopping: {reason}");
            notify_stopping(&reason);
        }
        None => {
            tracing::error!("stopping: a thread has ended");
            notify_stopping(&"a thread has ended");
        }
    }
    node.stop()?;
    Ok(())
}

fn record(options: &CaptureOptions) -> Result<(), Box<dyn std::error::Error>> {
    let stop = StopSignal::install()?;
    if let Some(dir) = &options.runtime_dir {
        ipc_core::set_runtime_dir(dir.clone());
    }
    let captured = capture::run(options, &stop)?;
    eprintln!("{captured}");
    Ok(())
}
