//! The `qnet` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use qnet::{
    config::{Config, Options},
    daemon::{LogOptions, StopSignal, init_logging, notify_ready, raise_descriptor_limit},
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
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    log: LogOptions,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    init_logging(&line.log);
    raise_descriptor_limit();
    match run(&line.options) {
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
        Some(reason) => tracing::info!("stopping: {reason}"),
        None => tracing::error!("stopping: a thread has ended"),
    }
    node.stop()?;
    Ok(())
}
