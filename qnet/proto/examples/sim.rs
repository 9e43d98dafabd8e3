//! Runs the simulator by hand: `cargo run -p qnet-proto --example sim -- --seed N --seeds K`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

#[path = "../tests/sim/mod.rs"]
mod sim;

const USAGE: &str = "usage: sim [--seed N] [--seeds K] [--trace]
  --seed N   the first seed to run (default 0)
  --seeds K  how many seeds to run (default 1)
  --trace    print every event of every node
A run that finds a fault says what of its plan suffices; the same seed gives the same run again.";

fn main() -> ExitCode {
    let mut first = 0;
    let mut count = 1;
    let mut is_traced = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--trace" {
            is_traced = true;
            continue;
        }
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        match (arg.as_str(), value) {
            ("--seed", Some(value)) => first = value,
            ("--seeds", Some(value)) => count = value,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    let begun = Instant::now();
    let mut happened = sim::Happened::default();
    for seed in first..first + count {
        if count == 1 {
            println!("{:#?}", sim::plan(seed));
        }
        println!("seed {seed}:");
        let run = || sim::run(seed, is_traced);
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(run)) else {
            sim::shrink::report(seed);
            return ExitCode::FAILURE;
        };
        happened.add(&outcome.happened);
        println!(
            "  {} calls, {} answered, {} frames, {} ms simulated, history {:016x}",
            outcome.calls,
            outcome.answered,
            outcome.frames,
            outcome.end_ns / 1_000_000,
            outcome.history
        );
    }
    for (what, count) in happened.all() {
        println!("{count:12} {what}");
    }
    println!("{count} seeds in {:.1} s", begun.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}
