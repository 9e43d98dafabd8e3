//! `qn`: the operator's command. Files on any node, and what a node runs.
//!
//! - `cli`: the command line. `place`: the two worlds that a copy joins.
//! - `list`, `cat`, `copy`, `files`, `remove`: the pathname space, and the host's files.
//! - `node`: tables of a process manager. `launch`: programs under the preload library.
//! - `stats`: what a qnet counts. `net`: the nodes it knows, and that as text. `top`: the same live.
//! - `manual`: completions and manual pages of all programs.
//! - `output`: text for people, JSON for programs, errors for both.

mod cat;
mod cli;
mod copy;
mod files;
mod launch;
mod list;
mod manual;
mod net;
mod node;
mod output;
mod place;
mod remove;
mod stats;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

use cli::{Command, Options};
use output::{Fault, Output};
use remove::Directories;

/// The program.
pub fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(why) = options.refused_json() {
        let cannot = format!("--json cannot be obeyed: {why}");
        Options::command()
            .error(ErrorKind::ArgumentConflict, cannot)
            .exit();
    }
    if let Some(dir) = &options.runtime_dir {
        ipc_core::set_runtime_dir(dir.clone());
    }
    let output = Output::new(options.json);
    match run(&options.command, &output) {
        Ok(code) => code,
        Err(fault) => {
            output.fault(&fault);
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command, output: &Output) -> Result<ExitCode, Fault> {
    match command {
        Command::Ls { long, paths } => list::ls(output, *long, paths),
        Command::Cat { paths } => cat::cat(output, paths),
        Command::Cp { recursive, paths } => copy::cp(output, *recursive, paths),
        Command::Stat { no_follow, paths } => files::stat(output, *no_follow, paths),
        Command::Rm {
            dir,
            recursive,
            paths,
        } => {
            let directories = match (dir, recursive) {
                (_, true) => Directories::Whole,
                (true, false) => Directories::Empty,
                (false, false) => Directories::Kept,
            };
            remove::rm(output, directories, paths)
        }
        Command::Mkdir { parents, paths } => files::mkdir(output, *parents, paths),
        Command::Mv { from, to } => files::mv(output, from, to),
        Command::Net { long, of } => net::net(output, *long, of.node.as_deref()),
        Command::Top { every, of } => top::top(*every, of.node.as_deref()),
        Command::Ps(of) => node::ps(output, of),
        Command::Channels(of) => node::channels(output, of),
        Command::Blocked(of) => node::blocked(output, of),
        Command::Names(of) => node::names(output, of),
        Command::Completions { shell, dir } => manual::completions(output, *shell, dir.as_deref()),
        Command::Man { dir } => manual::man(output, dir),
        Command::Run { command } => launch::run(output, command),
    }
}
