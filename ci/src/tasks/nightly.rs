//! The nightly compiler, for the checks that only it can make. Nobody needs it to build or to test.

use std::{path::Path, process::Command};

use super::Context;
use crate::{command, outcome::Outcome, tally::Tally};

/// A `cargo` of the nightly toolchain, building into a folder of its own: other flags and another compiler
/// build everything anew, and leave the other builds alone.
pub(super) fn cargo(context: &Context, arguments: &[&str], target: &str) -> Command {
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo"]).args(arguments);
    cargo.current_dir(&context.workspace.root);
    cargo.env("CARGO_TARGET_DIR", context.workspace.target.join(target));
    // Of the cargo that started this program, which is another one.
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    cargo
}

/// Whether the nightly compiler's own sources are there, to build the standard library anew.
pub(super) fn has_sources() -> bool {
    let sysroot = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .output();
    sysroot.is_ok_and(|output| {
        let root = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        !root.is_empty()
            && Path::new(&root)
                .join("lib/rustlib/src/rust/library/Cargo.lock")
                .exists()
    })
}

/// Whether there is a nightly compiler.
pub(super) fn exists() -> bool {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc", "--version"]);
    command::exists(rustc.env_remove("RUSTUP_TOOLCHAIN"))
}

/// A task that cannot run for want of a component, counted as one test skipped.
pub(super) fn skipped(why: &str) -> Outcome {
    Outcome {
        tests: Tally {
            skipped: 1,
            ..Tally::default()
        },
        ..Outcome::skipped(why)
    }
}
