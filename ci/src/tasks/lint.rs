//! Clippy.

use super::{Context, Task};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "lint",
    about: "clippy finds nothing in any target",
    run,
};

fn run(context: &Context) -> Outcome {
    let arguments = [
        "clippy",
        "--workspace",
        "--features",
        super::test::FEATURES,
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    match command::run(
        &mut context.workspace.cargo(&arguments),
        command::TIME_LIMIT,
    ) {
        ended if ended.is_success() => Outcome::passed(),
        ended => Outcome::failed(format!("cargo clippy: {}", ended.describe())),
    }
}
