//! `procmgr`: the process manager of a node.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::procmgr::main()
}
