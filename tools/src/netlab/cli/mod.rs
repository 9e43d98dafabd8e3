//! The command line of netlab.

mod arguments;
mod status;
mod up;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::control::{self, Control};
use super::enter::{self, Visit};
use super::lab;
use super::protocol::{Answer, LabStatus, NodeStatus, Order};

pub use arguments::DemoOptions;
use arguments::{Arguments, Command, FaultOptions, LogOptions};

/// How often `logs --follow` looks for more.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
const FAILED: u8 = 1;
/// This user may not do that here (EX_NOPERM of sysexits.h).
pub(super) const NOT_PERMITTED: u8 = 77;

/// The program's arguments.
pub(crate) fn command_line() -> clap::Command {
    Arguments::command()
}

/// Runs netlab with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        // Who reads our output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netlab: {error}");
            match error.kind() {
                io::ErrorKind::PermissionDenied => ExitCode::from(NOT_PERMITTED),
                _ => ExitCode::from(FAILED),
            }
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<u8> {
    let lab = arguments.lab.as_str();
    let order = match &arguments.command {
        Command::Up(options) => return up::run(lab, options),
        Command::Demo(options) => return super::demo::run(options),
        Command::Down => return down(lab),
        Command::Status { json } => return status::run(lab, *json),
        Command::Logs(options) => return logs(lab, options),
        Command::Exec { node, env, command } => {
            let environment = env.iter().map(|(n, v)| (n.into(), v.into())).collect();
            return visit(
                lab,
                Visit {
                    node: node.clone(),
                    command: command.clone(),
                    environment,
                },
            );
        }
        Command::Shell { node } => {
            let (command, environment) = (Vec::new(), Vec::new());
            return visit(
                lab,
                Visit {
                    node: node.clone(),
                    command,
                    environment,
                },
            );
        }
        Command::Cut { node, how, link } => Order::Cut {
            node: node.clone(),
            link: *link,
            cut: (*how).into(),
        },
        Command::Heal { node, link } => Order::Heal {
            node: node.clone(),
            link: *link,
        },
        Command::Faults(FaultOptions { off: true, .. }) => Order::Faults { faults: None },
        Command::Faults(options) => Order::Faults {
            faults: Some(options.into()),
        },
        Command::Kill {
            node,
            daemon,
            signal,
        } => Order::Kill {
            node: node.clone(),
            daemon: daemon.clone(),
            signal: *signal as i32,
        },
        Command::Restart { node, daemon } => Order::Restart {
            node: node.clone(),
            daemon: daemon.clone(),
        },
        Command::Serve {
            node,
            name,
            command,
        } => Order::Serve {
            node: node.clone(),
            daemon: name.clone().unwrap_or_else(|| base_name(&command[0])),
            command: command.clone(),
        },
    };
    match Control::connect(lab)?.order(&order)?.0 {
        Answer::Done { note } if !note.is_empty() => writeln!(io::stdout(), "{note}")?,
        _ => {}
    }
    Ok(0)
}

fn down(lab: &str) -> io::Result<u8> {
    let control = Control::connect(lab)?;
    let supervisor = control.supervisor();
    let (answer, _) = control.order(&Order::Down)?;
    control::wait_gone(supervisor);
    match answer {
        Answer::Done { note } if !note.is_empty() => writeln!(io::stdout(), "{note}")?,
        _ => {}
    }
    Ok(0)
}

fn visit(lab: &str, visit: Visit) -> io::Result<u8> {
    let code = enter::run(lab, &visit)?;
    Ok(u8::try_from(code).unwrap_or(FAILED))
}

fn logs(lab: &str, options: &LogOptions) -> io::Result<u8> {
    let Answer::Status(status) = Control::connect(lab)?.order(&Order::Status)?.0 else {
        return Err(io::Error::other(
            "the supervisor answered something else than its status",
        ));
    };
    let chosen = logged(&status, options)?;
    let folder = Path::new(if options.trace { "trace" } else { "log" });
    let ending = if options.trace { "jsonl" } else { "log" };
    let mut files = Vec::new();
    for Logged { node, daemon } in &chosen {
        let path: PathBuf = folder.join(format!("{daemon}.{ending}"));
        let label = match (&options.node, chosen.len()) {
            (None, _) => format!("{node:<12} {daemon:<10} "),
            (Some(_), 1) => String::new(),
            (Some(_), _) => format!("{daemon:<10} "),
        };
        match lab::open(lab, node, &path) {
            Ok(file) => files.push((label, file)),
            // Not every daemon traces; who names one is told of it.
            Err(_) if options.daemon.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    let mut out = io::stdout().lock();
    loop {
        for (label, file) in &mut files {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            for line in text.lines() {
                writeln!(out, "{label}{line}")?;
            }
        }
        out.flush()?;
        if !options.follow || Control::connect(lab).is_err() {
            return Ok(0);
        }
        std::thread::sleep(FOLLOW_INTERVAL);
    }
}

/// A log that is asked for.
struct Logged {
    node: String,
    daemon: String,
}

/// The logs that are asked for.
fn logged(status: &LabStatus, options: &LogOptions) -> io::Result<Vec<Logged>> {
    let missing = |text| io::Error::new(io::ErrorKind::NotFound, text);
    let all = |node: &NodeStatus| -> Vec<Logged> {
        let daemons = node.daemons.iter().map(|daemon| Logged {
            node: node.name.clone(),
            daemon: daemon.name.clone(),
        });
        daemons.collect()
    };
    let Some(name) = &options.node else {
        return Ok(status.nodes.iter().flat_map(all).collect());
    };
    let Some(node) = status.nodes.iter().find(|node| node.name == *name) else {
        let names: Vec<&str> = status.nodes.iter().map(|node| node.name.as_str()).collect();
        return Err(missing(format!(
            "no node {name:?} in this lab; there are {}",
            names.join(", ")
        )));
    };
    let has = |daemon: &str| node.daemons.iter().any(|other| other.name == daemon);
    match &options.daemon {
        None => Ok(all(node)),
        // A trace may be that of a program which is no daemon.
        Some(daemon) if options.trace || has(daemon) => Ok(vec![Logged {
            node: name.clone(),
            daemon: daemon.clone(),
        }]),
        Some(daemon) => {
            let names: Vec<&str> = node
                .daemons
                .iter()
                .map(|other| other.name.as_str())
                .collect();
            Err(missing(format!(
                "{name} has no daemon {daemon}; it has {}",
                names.join(", ")
            )))
        }
    }
}

fn base_name(program: &str) -> String {
    let name = Path::new(program).file_name().unwrap_or(program.as_ref());
    name.to_string_lossy().into_owned()
}
