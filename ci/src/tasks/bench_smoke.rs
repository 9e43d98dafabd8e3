//! The benchmarks still run; what they measure is reported and never fails a run.

use super::{Context, Task};
use crate::{
    command,
    outcome::{Outcome, Verdict},
};

pub(super) static TASK: Task = Task {
    name: "bench-smoke",
    about: "a quick pass of the local benchmarks (report only)",
    run,
};

fn run(context: &Context) -> Outcome {
    let arguments = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "benches",
        "--",
        "local",
        "--quick",
    ];
    match command::run(
        &mut context.workspace.cargo(&arguments),
        command::TIME_LIMIT,
    ) {
        ended if ended.is_success() => Outcome::of(Verdict::Reported("figures above".into())),
        // Not a timing: the program did not build, crashed, or found a payload damaged.
        ended => Outcome::failed(format!("benches: {}", ended.describe())),
    }
}
