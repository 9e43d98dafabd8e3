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

fn run(context: &Context) -> Outcome {
    let all = [
        "test",
        "--workspace",
        "--exclude",
        END_TO_END_PACKAGE,
        "--no-fail-fast",
        "--",
        "--show-output",
    ];
    let all = cargo_test::run(
        context,
        &mut context.workspace.cargo(&all),
        command::TIME_LIMIT,
    );
    let units = [
        "test",
        "--package",
        END_TO_END_PACKAGE,
        "--lib",
        "--bins",
        "--no-fail-fast",
        "--",
        "--show-output",
    ];
    all.and(cargo_test::run(
        context,
        &mut context.workspace.cargo(&units),
        command::TIME_LIMIT,
    ))
}
