//! `cargo test`, counted: what the tasks that run tests share.

use std::{process::Command, time::Duration};

use super::Context;
use crate::{
    command,
    outcome::{Outcome, Verdict},
    scratch::Scratch,
    tally::TestLog,
};

/// Runs a `cargo test` command. Its output is shown as one line per suite, and in full where a suite failed.
///
/// The harness is told to show what passing tests print: that is where they say that they were skipped.
///
/// The run gets a runtime directory and a folder for temporary files of its own: what killed processes of other runs
/// and users left in the machine's is not in the way. It fails if a file or a process of it stays.
pub(super) fn run(context: &Context, command: &mut Command, limit: Duration) -> Outcome {
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(error) => return Outcome::failed(format!("no folder for temporary files: {error}")),
    };
    scratch.lend(command);
    let mut outcome = run_counted(context, command, limit);
    let left_behind = scratch.left_behind();
    for what in &left_behind {
        println!("    left behind: {what}");
    }
    // A run that failed, or was killed, may leave what it had.
    if !left_behind.is_empty() && outcome.verdict == Verdict::Passed {
        outcome.verdict = Verdict::Failed(format!("left behind: {}", left_behind.join(", ")));
    }
    outcome
}

fn run_counted(context: &Context, command: &mut Command, limit: Duration) -> Outcome {
    let mut log = TestLog::default();
    let mut before_suites = Vec::new();
    let mut suites_started = false;
    let ended = command::run_lines(command, limit, |line| {
        if context.verbose {
            println!("{line}");
        }
        suites_started |= line.trim_start().starts_with("Running ")
            || line.trim_start().starts_with("Doc-tests ");
        if !suites_started {
            before_suites.push(line.to_owned());
        }
        if let Some(summary) = log.line(line) {
            println!("    {summary}");
        }
    });
    if let Some(summary) = log.finish() {
        println!("    {summary}");
    }
    if !context.verbose {
        show_failures(
            &log,
            if suites_started || ended.is_success() {
                &[]
            } else {
                &before_suites
            },
        );
    }
    for reason in &log.skip_reasons {
        println!("    skipped: {reason}");
    }
    let verdict = if ended.is_success() && log.total.failed == 0 {
        Verdict::Passed
    } else if log.total.failed > 0 {
        Verdict::Failed(format!(
            "{} tests failed ({})",
            log.total.failed,
            ended.describe()
        ))
    } else {
        Verdict::Failed(format!("cargo test: {}", ended.describe()))
    };
    Outcome {
        verdict,
        tests: log.total,
    }
}

fn show_failures(log: &TestLog, build_output: &[String]) {
    for line in build_output {
        println!("{line}");
    }
    for suite in &log.broken {
        println!("\n---- {} ----", suite.name);
        for line in &suite.lines {
            println!("{line}");
        }
    }
}
