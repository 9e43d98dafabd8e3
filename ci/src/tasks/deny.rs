//! Licences, sources and advisories of what the project depends on.

use super::{Context, Task};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "deny",
    about: "dependencies: licences, sources, advisories (needs cargo-deny)",
    run,
};

/// What cargo-deny says where the list of advisories cannot be had.
const NO_DATABASE: &str = "failed to fetch advisory database";

fn run(context: &Context) -> Outcome {
    if !command::exists(&mut context.workspace.cargo(&["deny", "--version"])) {
        return Outcome::skipped(
            "cargo-deny is not installed: `cargo install cargo-deny --locked`",
        );
    }
    let check = [
        "deny",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ];
    let ended = command::run(&mut context.workspace.cargo(&check), command::TIME_LIMIT);
    if !ended.is_success() {
        return Outcome::failed(format!("cargo deny: {}", ended.describe()));
    }
    advisories(context)
}

fn advisories(context: &Context) -> Outcome {
    let mut has_database = true;
    let mut check = context.workspace.cargo(&["deny", "check", "advisories"]);
    let ended = command::run_lines(&mut check, command::TIME_LIMIT, |line| {
        has_database &= !line.contains(NO_DATABASE);
        println!("    {line}");
    });
    match ended {
        ended if ended.is_success() => Outcome::passed(),
        _ if !has_database => {
            Outcome::skipped("advisories: their database cannot be reached from here")
        }
        ended => Outcome::failed(format!("cargo deny: {}", ended.describe())),
    }
}
