//! Unit, integration and documentation tests.

use super::{Context, Task, cargo_test};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "test",
    about: "unit, integration and documentation tests of every package",
    run,
};

/// What `e2e` runs itself, from a release build and as two users.
const END_TO_END_PACKAGE: &str = "tools";

/// Passing tests show why they were skipped; `fuzz-replay` and `sim` run their own.
const HARNESS: [&str; 5] = ["--show-output", "--skip", "corpus", "--skip", "simulator"];

fn run(context: &Context) -> Outcome {
    let mut all = vec![
        "test",
        "--workspace",
        "--exclude",
        END_TO_END_PACKAGE,
        "--no-fail-fast",
        "--",
    ];
    all.extend(HARNESS);
    let mut units = vec![
        "test",
        "--package",
        END_TO_END_PACKAGE,
        "--lib",
        "--bins",
        "--no-fail-fast",
        "--",
    ];
    units.extend(HARNESS);
    let run = |arguments: &[&str]| {
        cargo_test::run(
            context,
            &mut context.workspace.cargo(arguments),
            command::TIME_LIMIT,
        )
    };
    run(&all).and(run(&units))
}
