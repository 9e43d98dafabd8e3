//! The tests of `ipc-core` with the compiler's sanitizers. They take minutes, so they run when they are named.

use std::time::Duration;

use super::{Context, Task, cargo_test, nightly};
use crate::{command, outcome::Outcome};

pub(super) static ADDRESS: Task = Task {
    name: "asan",
    about: "ipc-core's tests with the address sanitizer (needs nightly)",
    run: address,
};

pub(super) static THREAD: Task = Task {
    name: "tsan",
    about: "ipc-core's tests with the thread sanitizer (needs nightly and its component rust-src)",
    run: thread,
};

/// What runs under both: threads, processes that are killed, and peers that scribble.
const TESTS: [&str; 9] = [
    "--package",
    "ipc-core",
    "--lib",
    "--test",
    "semantics",
    "--test",
    "churn",
    "--test",
    "hostile",
];

/// They build everything anew, and the thread sanitizer the standard library too.
const TIME_LIMIT: Duration = command::TIME_LIMIT.saturating_mul(4);

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn address(context: &Context) -> Outcome {
    if !nightly::exists() {
        return nightly::skipped("no nightly compiler: `rustup toolchain install nightly`");
    }
    run(context, &[], "-Zsanitizer=address", "asan")
}

fn thread(context: &Context) -> Outcome {
    if !nightly::has_sources() {
        return nightly::skipped(
            "no sources of the standard library: `rustup toolchain install nightly --component rust-src`",
        );
    }
    // The standard library too: of what it does uninstrumented, the sanitizer knows nothing. And `cfg(tsan)`, with
    // which both sides of a region have the same address, by which it knows memory.
    let flags = "-Zsanitizer=thread --cfg tsan";
    run(context, &["-Zbuild-std"], flags, "tsan")
}

fn run(context: &Context, options: &[&str], flags: &str, target: &str) -> Outcome {
    let mut arguments = vec!["test", "--no-fail-fast", "--target", TARGET];
    arguments.extend(options);
    arguments.extend(TESTS);
    arguments.extend(["--", "--show-output"]);
    let mut command = nightly::cargo(context, &arguments, target);
    command.env("RUSTFLAGS", flags);
    cargo_test::run(context, &mut command, TIME_LIMIT)
}
