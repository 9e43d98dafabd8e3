//! The engine in a thousand bad networks.

mod sim;

use std::panic::{AssertUnwindSafe, catch_unwind};

const SEEDS: u64 = 1_000;

fn run_seeds(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let run = catch_unwind(AssertUnwindSafe(|| sim::run(seed, false)));
        if let Err(panic) = run {
            eprintln!("seed {seed}: {:#?}", sim::plan(seed));
            eprintln!("replay: cargo run -p qnet-proto --example sim -- --seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

// covers: NET-4, NET-5, NET-6, NET-8, RPL-2, PLS-2
#[test]
fn every_call_ends_once_and_rightly_in_a_thousand_bad_networks() {
    let half = SEEDS / 2;
    let other = std::thread::spawn(move || run_seeds(half..SEEDS));
    run_seeds(0..half);
    if let Err(panic) = other.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, 14, 159, 265] {
        assert_eq!(sim::run(seed, false), sim::run(seed, false));
    }
    assert_ne!(sim::run(3, false).history, sim::run(4, false).history);
}
