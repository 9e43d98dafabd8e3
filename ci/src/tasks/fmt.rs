//! Formatting.

use super::{Context, Task};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "fmt",
    about: "every file is formatted (cargo fmt mends it)",
    run,
};

fn run(context: &Context) -> Outcome {
    let mut command = context.workspace.cargo(&["fmt", "--all", "--check"]);
    match command::run(&mut command, command::TIME_LIMIT) {
        ended if ended.is_success() => Outcome::passed(),
        _ => Outcome::failed(
            "not formatted, or rustfmt is missing: `cargo fmt`, `rustup component add rustfmt`",
        ),
    }
}
