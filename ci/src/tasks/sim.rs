//! The network simulator over many seeds.

use super::{Context, Task, cargo_test, test};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "sim",
    about: "qnet's engine in bad networks, from two thousand seeds (QNET_SIM_SEEDS=N for others)",
    run,
};

/// The test binary, and what the names of its tests have in common, one or the other.
const BINARY: &str = "simulation";
pub(super) const TEST_NAMES: [&str; 2] = ["bad_networks", "same_seed"];

fn run(context: &Context) -> Outcome {
    // As in `fuzz-replay`: the packages of `test`, so that nothing is built once more.
    let mut arguments = vec!["test", "--no-fail-fast"];
    arguments.extend(test::PACKAGES);
    arguments.extend(["--test", BINARY, "--", "--show-output"]);
    let mut command = context.workspace.cargo(&arguments);
    cargo_test::run(context, &mut command, command::TIME_LIMIT)
}
