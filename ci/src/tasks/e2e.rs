//! Whole nodes: the end-to-end tests and the demo, from the release build, also as an ordinary user.

use std::{path::Path, process::Command};

use super::{
    Context, Task, cargo_test,
    ordinary_user::{self, OrdinaryUser},
};
use crate::{
    command::{self, Ended},
    outcome::Outcome,
    tally::Tally,
};

pub(super) static TASK: Task = Task {
    name: "e2e",
    about: "end-to-end tests and the demo; as root also as an ordinary user",
    run,
};

/// How the demo's last line must read.
const DEMO_LAST_LINE: &str = "wintermute:/home/rk/filename: This is message passing";

/// Builds the programs of a node for release. What netlab itself builds: another selection would choose other
/// features, and build everything once more.
pub(super) fn build(context: &Context) -> Result<(), Outcome> {
    let build = [
        "build",
        "--release",
        "--package",
        "tools",
        "--package",
        "qnet",
        "--package",
        "qnet-preload",
    ];
    let ended = command::run(&mut context.workspace.cargo(&build), command::TIME_LIMIT);
    if ended.is_success() {
        Ok(())
    } else {
        Err(Outcome::failed(format!(
            "cargo build: {}",
            ended.describe()
        )))
    }
}

fn run(context: &Context) -> Outcome {
    if let Err(failed) = build(context) {
        return failed;
    }
    let tests = [
        "test",
        "--release",
        "--package",
        "tools",
        "--test",
        "*",
        "--no-fail-fast",
        "--",
        "--show-output",
    ];
    let tests = cargo_test::run(
        context,
        &mut context.workspace.cargo(&tests),
        command::TIME_LIMIT,
    );
    let demo = demo(&mut context.workspace.cargo(&[
        "run",
        "--quiet",
        "--release",
        "--bin",
        "netlab",
        "--",
        "demo",
    ]));
    tests.and(demo).and(demo_as_ordinary_user(
        &context.workspace.target.join("release"),
    ))
}

/// Runs the demo; it counts as one test.
fn demo(command: &mut Command) -> Outcome {
    let mut lines = Vec::new();
    let ended = command::run_lines(command, command::TIME_LIMIT, |line| {
        lines.push(line.to_owned())
    });
    let failure = judge_demo(&lines, &ended);
    let tests = Tally {
        passed: failure.is_none().into(),
        failed: failure.is_some().into(),
        skipped: 0,
    };
    let outcome = match failure {
        None => Outcome::passed(),
        Some(why) => {
            lines.iter().for_each(|line| println!("{line}"));
            Outcome::failed(why)
        }
    };
    Outcome { tests, ..outcome }
}

fn judge_demo(lines: &[String], ended: &Ended) -> Option<String> {
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    if !ended.is_success() {
        return Some(format!("demo: {}", ended.describe()));
    }
    match last {
        Some(line) if line == DEMO_LAST_LINE => None,
        other => Some(format!(
            "demo: the last line is {other:?}, not {DEMO_LAST_LINE:?}"
        )),
    }
}

fn demo_as_ordinary_user(release: &Path) -> Outcome {
    let skipped = |why: String| {
        println!("    skipped: demo as an ordinary user: {why}");
        Outcome {
            tests: Tally {
                skipped: 1,
                ..Tally::default()
            },
            ..Outcome::passed()
        }
    };
    if !nix::unistd::geteuid().is_root() {
        // The run before was the ordinary user's.
        return Outcome::passed();
    }
    let user = match OrdinaryUser::prepare(release, &ordinary_user::PROGRAMS) {
        Ok(user) => user,
        Err(why) => return skipped(why),
    };
    if !user.may_make_namespaces() {
        return skipped(
            "it may not make user namespaces: `sysctl kernel.unprivileged_userns_clone=1`".into(),
        );
    }
    println!("    the demo again, as uid {}", user.uid());
    demo(user.command("netlab").arg("demo"))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    use super::*;

    fn ended(code: i32) -> Ended {
        Ended::Exited(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn a_demo_is_judged_by_its_last_line_and_its_exit_code() {
        let good = vec!["steps".to_owned(), DEMO_LAST_LINE.to_owned(), String::new()];
        assert_eq!(judge_demo(&good, &ended(0)), None);
        assert!(judge_demo(&good, &ended(1)).is_some());
        assert!(judge_demo(&["steps".to_owned()], &ended(0)).is_some());
        assert!(judge_demo(&[], &ended(0)).is_some());
    }
}
