//! `qn`: files on any node, and what a node runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::qn::main()
}
