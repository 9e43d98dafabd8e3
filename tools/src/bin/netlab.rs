//! `netlab`: nodes in network namespaces, for tests, demonstrations and measurements.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::netlab::cli::main()
}
