//! `fs-export`: the filesystem manager.

use std::process::ExitCode;

use clap::Parser;
use tools::fs_export::{Options, run};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("fs-export: {message}");
            ExitCode::FAILURE
        }
    }
}
