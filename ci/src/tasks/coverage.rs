//! Which requirements tests cite; one that no test cites fails the run.

use super::{Context, Task};
use crate::{
    outcome::{Outcome, Verdict},
    tidy::requirements,
};

pub(super) static TASK: Task = Task {
    name: "coverage",
    about: "which requirement is cited by which test; fails on one that none cites",
    run,
};

fn run(context: &Context) -> Outcome {
    match requirements::coverage(&context.workspace) {
        Ok(coverage) => {
            for (requirement, files) in &coverage.covered {
                println!("    {requirement:<8} {}", files.join(" "));
            }
            for requirement in &coverage.uncovered {
                println!("    {requirement:<8} no test cites it");
            }
            if !coverage.uncovered.is_empty() {
                let missing = coverage.uncovered.join(", ");
                return Outcome::failed(format!("no test cites {missing}"));
            }
            let remark = format!("all {} are cited by tests", coverage.covered.len());
            Outcome::of(Verdict::Reported(remark))
        }
        Err(error) => Outcome::failed(error),
    }
}
