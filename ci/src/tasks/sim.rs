//! The network simulator over many seeds.

use super::{Context, Task, cargo_test};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "sim",
    about: "qnet's engine in the simulator, 1,000 seeds",
    run,
};

const SEEDS: &str = "1000";

fn run(context: &Context) -> Outcome {
    if !context
        .workspace
        .root
        .join("qnet/proto/tests/sim.rs")
        .is_file()
    {
        return Outcome::failed("qnet/proto/tests/sim.rs is missing");
    }
    let arguments = [
        "test",
        "--release",
        "--package",
        "qnet-proto",
        "--test",
        "sim",
        "--",
        "--show-output",
    ];
    let mut command = context.workspace.cargo(&arguments);
    command.env("QNET_SIM_SEEDS", SEEDS);
    cargo_test::run(context, &mut command, command::TIME_LIMIT)
}
