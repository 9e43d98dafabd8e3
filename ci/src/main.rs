//! `cargo ci`: every check that this project runs on itself, as a program of small tasks.
//!
//! ```text
//! main      the command line
//! runner    runs tasks in order, times them, prints the table and the verdict
//! outcome   what a task can end in
//! tally     tests counted out of the output of `cargo test`
//! scratch   folders of one test run, and what must not outlive it
//! command   child processes: shown, limited in time, and killed with their descendants
//! workspace where things are: root, target directory, source files
//! tasks     one task per file
//! tidy      the house rules, one rule per file, each with an example that breaks it
//! ```
//!
//! It knows nothing of the packages it checks beyond their paths: it must build and run when they do not.
#![forbid(unsafe_code)]

mod command;
mod outcome;
mod runner;
mod scratch;
mod tally;
mod tasks;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::{runner::Runner, tasks::Task, workspace::Workspace};

/// Runs the project's checks: all of them, or the tasks named.
///
/// Exit code 0 only if every task that ran passed. A task that cannot run on this machine says why and
/// counts as skipped. The last line counts tests: `N passed, N failed, N skipped`.
#[derive(Parser)]
#[command(name = "cargo ci", bin_name = "cargo ci", version)]
struct Options {
    /// Tasks to run, in the order given; none means all of them
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,

    /// Print the tasks and what each does, and stop
    #[arg(long)]
    list: bool,

    /// Go on after a task failed (implied when the variable CI is set)
    #[arg(short, long)]
    keep_going: bool,

    /// Show the whole output of test runs, not only what failed
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        tasks::print_list();
        return ExitCode::SUCCESS;
    }
    let selected = match tasks::select(&options.tasks) {
        Ok(selected) => selected,
        Err(unknown) => {
            eprintln!(
                "error: there is no task `{unknown}`; `cargo ci --list` shows those there are"
            );
            return ExitCode::from(2);
        }
    };
    match Workspace::locate() {
        Ok(workspace) => run(workspace, &selected, &options),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(workspace: Workspace, selected: &[&'static Task], options: &Options) -> ExitCode {
    let keep_going = options.keep_going || std::env::var_os("CI").is_some();
    let mut runner = Runner::new(workspace, keep_going, options.verbose);
    if runner.run(selected) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
