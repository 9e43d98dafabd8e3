//! The `qnet` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use qnet::{
    capture::{self, CaptureOptions},
    command_line::{Command, CommandLine},
    config::{Config, Options},
    daemon::{StopSignal, init_logging, notify_ready, notify_stopping, raise_descriptor_limit},
    node::Node,
};

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
