//! Local message passing under all its loads at once, for a minute; `ipc-soak --duration 12h` goes on longer.

use super::{Context, Task, e2e};
use crate::{command, outcome::Outcome, tally::Tally};

pub(super) static TASK: Task = Task {
    name: "soak",
    about: "a minute of every local operation at once, with random kills: nothing lost, doubled or leaked",
    run,
};

/// How long it soaks.
const DURATION: &str = "60s";

fn run(context: &Context) -> Outcome {
    if let Err(failed) = e2e::build(context) {
        return failed;
    }
    let program = context.workspace.target.join("release/ipc-soak");
    let mut soak = std::process::Command::new(program);
    soak.args(["--duration", DURATION]);
    match command::run(&mut soak, command::TIME_LIMIT) {
        ended if ended.is_success() => Outcome {
            tests: Tally {
                passed: 1,
                ..Tally::default()
            },
            ..Outcome::passed()
        },
        ended => Outcome::failed(format!("ipc-soak: {}", ended.describe())),
    }
}
