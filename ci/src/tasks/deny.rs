//! Licences and advisories of what the project depends on.

use super::{Context, Task};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "deny",
    about: "dependencies: licences, advisories, sources (needs cargo-deny)",
    run,
};

fn run(context: &Context) -> Outcome {
    if !command::exists(&mut context.workspace.cargo(&["deny", "--version"])) {
        return Outcome::skipped("cargo-deny is not installed: `cargo install cargo-deny`");
    }
    match command::run(
        &mut context.workspace.cargo(&["deny", "check"]),
        command::TIME_LIMIT,
    ) {
        ended if ended.is_success() => Outcome::passed(),
        ended => Outcome::failed(format!("cargo deny: {}", ended.describe())),
    }
}
