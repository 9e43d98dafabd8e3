//! The tasks of `cargo ci`, one per file, in the order in which a whole run takes them: what is quick and
//! what fails most often comes first.

use crate::{outcome::Outcome, workspace::Workspace};

mod bench_smoke;
mod cargo_test;
mod coverage;
mod deny;
mod doc;
mod e2e;
mod fmt;
mod fuzz_replay;
mod lint;
mod loom;
mod miri;
mod nightly;
mod ordinary_user;
mod sanitizers;
mod sim;
mod soak;
mod test;
mod tidy;

/// What a task may use.
pub(crate) struct Context {
    /// The project that is checked.
    pub(crate) workspace: Workspace,
    /// Whether to show the whole output of test runs.
    pub(crate) verbose: bool,
}

/// One check.
pub(crate) struct Task {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// Does it.
    pub(crate) run: fn(&Context) -> Outcome,
}

static TASKS: [&Task; 13] = [
    &fmt::TASK,
    &tidy::TASK,
    &deny::TASK,
    &lint::TASK,
    &doc::TASK,
    &test::TASK,
    &fuzz_replay::TASK,
    &sim::TASK,
    &loom::TASK,
    &e2e::TASK,
    &soak::TASK,
    &bench_smoke::TASK,
    &coverage::TASK,
];

/// Tasks that take longer than anybody waits for a change: they run when they are named.
static NAMED_ONLY: [&Task; 3] = [&miri::TASK, &sanitizers::ADDRESS, &sanitizers::THREAD];

/// The tasks of these names; all but those that must be named when none is.
///
/// # Errors
///
/// The first name that no task has.
pub(crate) fn select(names: &[String]) -> Result<Vec<&'static Task>, String> {
    if names.is_empty() {
        return Ok(TASKS.to_vec());
    }
    let find = |name: &String| {
        TASKS
            .into_iter()
            .chain(NAMED_ONLY)
            .find(|task| task.name == name)
            .ok_or_else(|| name.clone())
    };
    names.iter().map(find).collect()
}

/// Prints what there is to run.
pub(crate) fn print_list() {
    for task in TASKS {
        println!("{:<12} {}", task.name, task.about);
    }
    println!("\nonly when named:");
    for task in NAMED_ONLY {
        println!("{:<12} {}", task.name, task.about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_selects_all_tasks() {
        assert_eq!(select(&[]).map(|tasks| tasks.len()), Ok(TASKS.len()));
    }

    #[test]
    fn what_runs_only_when_named_can_be_named() {
        let names = ["asan".to_owned(), "tsan".to_owned()];
        let selected = select(&names).map(|tasks| tasks.iter().map(|task| task.name).collect());
        assert_eq!(selected, Ok(vec!["asan", "tsan"]));
        assert!(
            TASKS
                .iter()
                .all(|task| !names.contains(&task.name.to_owned()))
        );
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_it() {
        let names = ["fmt".to_owned(), "polish".to_owned()];
        assert_eq!(
            select(&names).map(|tasks| tasks.len()),
            Err("polish".to_owned())
        );
    }
}
