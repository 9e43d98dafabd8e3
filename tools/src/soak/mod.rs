//! The soak: servers, clients, every operation there is, random kills, and a watch over all of it.
//!
//! ```text
//! options      the command line
//! supervisor   starts, asks, rests and kills the children; judges what they answer
//! child        one child process as the supervisor holds it
//! protocol     what children say, one JSON object a line
//! server       a child that serves three channels with several threads
//! late         answers to messages that a server keeps for later
//! seen         what a server remembers, to find messages and pulses lost or doubled
//! client/      a child whose threads attach, send, submit, give up and detach
//! account      one thread's books: sends, replies, errors, in flight
//! message      what messages and replies consist of, so that each byte can be checked
//! resources    descriptors, mappings, threads and memory of a process
//! report       what it prints
//! random       choices from a seed
//! ```
//!
//! The invariant is in `account`: `sends == replies + errors + in flight`, at every moment anybody looks.
//! The children choose from the seed; what happens when is the machine's choice, so a seed repeats the
//! load and not the history.

mod account;
mod child;
mod client;
mod late;
mod message;
mod options;
mod protocol;
mod random;
mod report;
mod resources;
mod seen;
mod server;
mod supervisor;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use options::{Options, Role};

/// The program's arguments.
pub(crate) fn command_line() -> clap::Command {
    Options::command()
}

/// Runs the command line: the whole soak, or one of its children.
pub fn main() -> ExitCode {
    let options = Options::parse();
    match options.role {
        Some(Role::Server { seed, threads }) => server::run(seed, threads),
        Some(Role::Client { seed, threads }) => client::run(seed, threads),
        None => supervisor::run(&options),
    }
}
