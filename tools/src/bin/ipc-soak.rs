//! `ipc-soak`: local message passing under all its loads at once, for as long as one likes.

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::soak::main()
}
