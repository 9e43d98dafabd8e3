//! The house rules.

use super::{Context, Task};
use crate::{outcome::Outcome, tidy};

pub(super) static TASK: Task = Task {
    name: "tidy",
    about: "the house rules: layers, unsafe, limits, links, reasons",
    run,
};

fn run(context: &Context) -> Outcome {
    match tidy::check(&context.workspace) {
        Ok(violations) if violations.is_empty() => Outcome::passed(),
        Ok(violations) => {
            for violation in &violations {
                println!("    {violation}");
            }
            Outcome::failed(format!("{} violations", violations.len()))
        }
        Err(error) => Outcome::failed(format!("cannot read the sources: {error}")),
    }
}
