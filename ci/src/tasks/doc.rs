//! The reference documentation builds, and its links lead somewhere.

use super::{Context, Task};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "doc",
    about: "rustdoc finds nothing, private items included",
    run,
};

fn run(context: &Context) -> Outcome {
    let arguments = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    let mut command = context.workspace.cargo(&arguments);
    command.env("RUSTDOCFLAGS", "-D warnings");
    match command::run(&mut command, command::TIME_LIMIT) {
        ended if ended.is_success() => Outcome::passed(),
        ended => Outcome::failed(format!("cargo doc: {}", ended.describe())),
    }
}
