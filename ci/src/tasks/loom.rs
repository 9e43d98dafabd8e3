//! The wake-up protocols in every order that the memory model allows.

use super::{Context, Task, cargo_test};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "loom",
    about: "the wake-up protocols of shared memory in every order, by loom",
    run,
};

fn run(context: &Context) -> Outcome {
    let arguments = [
        "test",
        "--package",
        "ipc-core",
        "--lib",
        "--no-fail-fast",
        "--",
        "--show-output",
        "wake_tests",
    ];
    let mut command = context.workspace.cargo(&arguments);
    // Other flags build everything anew: in a folder of their own they leave the other builds alone.
    command.env("RUSTFLAGS", "--cfg loom");
    command.env("CARGO_TARGET_DIR", context.workspace.target.join("loom"));
    cargo_test::run(context, &mut command, command::TIME_LIMIT)
}
