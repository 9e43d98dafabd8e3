//! `cargo test`, counted: what the tasks that run tests share.

use std::{
    env, fs, io,
    process::{self, Command},
    time::Duration,
};

use super::Context;
use crate::{
    command,
    outcome::{Outcome, Verdict},
    tally::TestLog,
};

/// Runs a `cargo test` command. Its output is shown as one line per suite, and in full where a suite failed.
///
/// The harness is told to show what passing tests print: that is where they say that they were skipped.
///
/// Tests that name no runtime directory get one of their own: what killed processes of other runs and users
/// left in the machine's is not in their way, and nothing of theirs stays.
pub(super) fn run(context: &Context, command: &mut Command, limit: Duration) -> Outcome {
    let runtime_dir = env::temp_dir().join(format!("qnet-ci-{}", process::id()));
    command.env("QNET_RUNTIME_DIR", &runtime_dir);
    let outcome = run_counted(context, command, limit);
    match fs::remove_dir_all(&runtime_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            println!("    left behind: {}: {error}", runtime_dir.display());
        }
        _ => {}
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
