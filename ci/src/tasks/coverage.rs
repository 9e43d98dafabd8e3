//! Which requirements no test cites.

use super::{Context, Task};
use crate::{
    outcome::{Outcome, Verdict},
    tidy::requirements,
};

pub(super) static TASK: Task = Task {
    name: "coverage",
    about: "requirements that no test cites (report only)",
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
            let all = coverage.covered.len() + coverage.uncovered.len();
            let remark = format!(
                "{} of {all} requirements are cited by tests",
                coverage.covered.len()
            );
            Outcome::of(Verdict::Reported(remark))
        }
        Err(error) => Outcome::failed(error),
    }
}
