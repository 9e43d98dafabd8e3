//! What Miri can run: the shared-memory layer on memory of its own, with every access checked for bounds,
//! validity and order, and the pure layers.
//!
//! It interprets, so it knows only the system calls that it implements itself: threads, futexes and clocks, but neither
//! memory files nor their mappings, nor sockets with descriptors in their messages, epoll, `futex_waitv` or fork. A
//! region is memory of the process there, which both sides share, and whatever attaches, kills or forks is left to the
//! sanitizers and to the tests themselves. Tests of many rounds take few: see `cfg!(miri)` in them.

use std::time::Duration;

use super::{Context, Task, cargo_test, nightly};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "miri",
    about: "shared memory and the pure layers under Miri (needs nightly and its component miri)",
    run,
};

/// Modules of `ipc-core` that make no system call, or only those that Miri knows.
const MODULES: [&str; 11] = [
    "abi::",
    "proc::client::walk",
    "proc::pathname",
    "proc::registry",
    "proc::rules",
    "proc::space",
    "process::control",
    "shm::",
    "spin::",
    "srr::",
    "sys::futex",
];

/// Each step of a test takes a thousand times as long.
const TIME_LIMIT: Duration = command::TIME_LIMIT.saturating_mul(4);

fn run(context: &Context) -> Outcome {
    if !command::exists(&mut nightly::cargo(context, &["miri", "--version"], "miri")) {
        return nightly::skipped(
            "no Miri: `rustup toolchain install nightly --component miri --component rust-src`",
        );
    }
    let mut arguments = vec![
        "miri",
        "test",
        "--package",
        "ipc-core",
        "--lib",
        "--",
        "--show-output",
    ];
    arguments.extend(MODULES);
    let mut command = nightly::cargo(context, &arguments, "miri");
    // The clock is asked for, and each step costs a thousandfold: two cases of each property do.
    command.env("MIRIFLAGS", "-Zmiri-disable-isolation");
    command.env("PROPTEST_CASES", "2");
    cargo_test::run(context, &mut command, TIME_LIMIT)
}
