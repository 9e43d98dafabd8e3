//! Inputs that fuzzing found or that were written for it, replayed as tests.

use super::{Context, Task, cargo_test, test};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "fuzz-replay",
    about: "the corpora of the fuzz targets, replayed",
    run,
};

fn run(context: &Context) -> Outcome {
    // The selection of packages is that of `test`: another one would choose other features, and build
    // everything once more.
    let mut arguments = vec!["test", "--no-fail-fast"];
    arguments.extend(test::PACKAGES);
    arguments.extend(["--lib", "--tests", "--", "--show-output", test::CORPUS]);
    let mut command = context.workspace.cargo(&arguments);
    let outcome = cargo_test::run(context, &mut command, command::TIME_LIMIT);
    if outcome.tests.passed + outcome.tests.failed == 0 {
        return outcome.and(Outcome::failed("no test replays a corpus"));
    }
    outcome
}
