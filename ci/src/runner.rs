//! Runs tasks in order and says how it went.

use std::time::{Duration, Instant};

use crate::{
    outcome::{Outcome, Verdict},
    tally::Tally,
    tasks::{Context, Task},
    workspace::Workspace,
};

/// Runs tasks and keeps what became of each.
pub(crate) struct Runner {
    context: Context,
    keep_going: bool,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

impl Runner {
    /// A runner that has run nothing.
    pub(crate) fn new(workspace: Workspace, keep_going: bool, verbose: bool) -> Runner {
        Runner {
            context: Context { workspace, verbose },
            keep_going,
            rows: Vec::new(),
        }
    }

    /// Runs the tasks, prints the table, and answers whether none failed.
    pub(crate) fn run(&mut self, tasks: &[&'static Task]) -> bool {
        for task in tasks {
            let outcome = if self.keep_going || !self.has_failed() {
                println!("==> {}: {}", task.name, task.about);
                let started = Instant::now();
                let outcome = (task.run)(&self.context);
                self.rows.push(Row {
                    name: task.name,
                    outcome,
                    took: started.elapsed(),
                });
                continue;
            } else {
                Outcome::skipped("a task before it failed; --keep-going runs it all the same")
            };
            self.rows.push(Row {
                name: task.name,
                outcome,
                took: Duration::ZERO,
            });
        }
        self.print_summary();
        !self.has_failed()
    }

    fn has_failed(&self) -> bool {
        self.rows
            .iter()
            .any(|row| matches!(row.outcome.verdict, Verdict::Failed(_)))
    }

    fn print_summary(&self) {
        println!("\n{:<12} {:<8} {:>8}  remark", "task", "verdict", "seconds");
        for Row {
            name,
            outcome,
            took,
        } in &self.rows
        {
            let Outcome { verdict, .. } = outcome;
            println!(
                "{name:<12} {:<8} {:>8.1}  {}",
                verdict.word(),
                took.as_secs_f64(),
                verdict.remark()
            );
        }
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        println!(
            "{:<12} {:<8} {:>8.1}\n",
            "all",
            if self.has_failed() { "FAILED" } else { "ok" },
            total.as_secs_f64()
        );
        let Tally {
            passed,
            failed,
            skipped,
        } = self.tests();
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }

    /// Tests over all tasks. A task that failed without a failed test (it did not compile, a file is not
    /// formatted) counts as one, so that a run that failed never says "0 failed"; so does one that was skipped as a whole
    /// (a program it needs is not installed), so that a run that left something out never says "0 skipped".
    fn tests(&self) -> Tally {
        let count = |row: &Row| {
            let mut tests = row.outcome.tests;
            match row.outcome.verdict {
                Verdict::Failed(_) => tests.failed = tests.failed.max(1),
                Verdict::Skipped(_) => tests.skipped = tests.skipped.max(1),
                Verdict::Passed | Verdict::Reported(_) => {}
            }
            tests
        };
        self.rows
            .iter()
            .map(count)
            .fold(Tally::default(), |sum, tests| sum + tests)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    static GOOD: Task = Task {
        name: "good",
        about: "",
        run: |_| Outcome::passed(),
    };
    static BAD: Task = Task {
        name: "bad",
        about: "",
        run: |_| Outcome::failed("broken"),
    };

    static MISSING: Task = Task {
        name: "missing",
        about: "",
        run: |_| Outcome::skipped("not installed"),
    };

    fn runner(keep_going: bool) -> Runner {
        let workspace = Workspace {
            root: PathBuf::new(),
            target: PathBuf::new(),
        };
        Runner::new(workspace, keep_going, false)
    }

    #[test]
    fn a_failure_stops_the_run_and_fails_it() {
        let mut runner = runner(false);
        assert!(!runner.run(&[&BAD, &GOOD]));
        assert!(matches!(
            runner.rows[1].outcome.verdict,
            Verdict::Skipped(_)
        ));
        assert_eq!(runner.tests().failed, 1);
    }

    #[test]
    fn keep_going_runs_the_rest_and_fails_all_the_same() {
        let mut runner = runner(true);
        assert!(!runner.run(&[&BAD, &GOOD]));
        assert_eq!(runner.rows[1].outcome.verdict, Verdict::Passed);
    }

    #[test]
    fn what_was_skipped_as_a_whole_counts_and_fails_nothing() {
        let mut runner = runner(false);
        assert!(runner.run(&[&MISSING, &GOOD]));
        let tests = runner.tests();
        assert_eq!((tests.passed, tests.failed, tests.skipped), (0, 0, 1));
    }

    #[test]
    fn nothing_failed_is_a_pass() {
        assert!(runner(false).run(&[&GOOD, &GOOD]));
    }
}
