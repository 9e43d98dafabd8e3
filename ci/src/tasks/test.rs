//! Unit, integration and documentation tests.

use super::{Context, Task, cargo_test, sim};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "test",
    about: "unit, integration and documentation tests of every package",
    run,
};

/// What `e2e` runs itself, from a release build and as two users.
const END_TO_END_PACKAGE: &str = "tools";

/// What the names of tests have in common that other tasks run: those that replay corpora, `fuzz-replay`.
pub(super) const CORPUS: &str = "corpus";

/// What is off unless asked for, and checked too.
pub(super) const FEATURES: &str = "ipc-core/tokio,ipc-core/failpoints";

/// Every package whose tests run from the development build.
pub(super) const PACKAGES: [&str; 5] = [
    "--workspace",
    "--exclude",
    END_TO_END_PACKAGE,
    "--features",
    FEATURES,
];

fn run(context: &Context) -> Outcome {
    // With the same features, so that nothing is built twice.
    let units = [
        "--package",
        END_TO_END_PACKAGE,
        "--lib",
        "--bins",
        "--features",
        FEATURES,
    ];
    let run = |what: &[&str]| {
        let mut arguments = vec!["test", "--no-fail-fast"];
        arguments.extend(what);
        arguments.extend(["--", "--show-output", "--skip", CORPUS]);
        arguments.extend(sim::TEST_NAMES.iter().flat_map(|name| ["--skip", name]));
        cargo_test::run(
            context,
            &mut context.workspace.cargo(&arguments),
            command::TIME_LIMIT,
        )
    };
    run(&PACKAGES).and(run(&units))
}
