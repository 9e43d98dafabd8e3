//! Inputs that fuzzing found or that were written for it, replayed as tests.

use super::{Context, Task, cargo_test};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "fuzz-replay",
    about: "the corpora of the fuzz targets, replayed",
    run,
};

/// Packages with a `fuzz/corpus`; the tests that replay it have `corpus` in their names.
const PACKAGES: [(&str, &str); 2] = [("ipc-core", "ipc-core"), ("qnet-proto", "qnet/proto")];

fn run(context: &Context) -> Outcome {
    let root = &context.workspace.root;
    let mut arguments = vec!["test", "--no-fail-fast"];
    for (package, folder) in PACKAGES {
        if root.join(folder).join("fuzz/corpus").is_dir() {
            arguments.extend(["--package", package]);
        }
    }
    if !arguments.contains(&"--package") {
        return Outcome::skipped("no package has a fuzz/corpus");
    }
    arguments.extend(["--lib", "--tests", "--", "--show-output", "corpus"]);
    let outcome = cargo_test::run(
        context,
        &mut context.workspace.cargo(&arguments),
        command::TIME_LIMIT,
    );
    if outcome.tests.passed + outcome.tests.failed == 0 {
        return outcome.and(Outcome::failed(
            "there are corpora, and no test named `corpus` replays them",
        ));
    }
    outcome
}
