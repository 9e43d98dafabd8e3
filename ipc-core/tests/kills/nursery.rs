//! A process with one thread that forks others and kills them: a fork costs a fraction of a program start.
//!
//! It says `killed <pid> <made at> <killed at>` of each, in nanoseconds, and what its children say stands between these lines.

use std::{io::Write, thread, time::Duration};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    time::{ClockId, clock_gettime},
    unistd::{ForkResult, fork},
};

use crate::{child, random::Random};

/// Longest life of a process: long enough for a few hundred messages.
const LIFE_US_MAX: u64 = 4000;

pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock exists");
    now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
}

/// Says a line in one write, so that lines of several processes do not mix.
pub(crate) fn say_whole(line: &str) {
    let line = format!("@{line}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .expect("the parent reads");
}

/// Forks and kills one process after the other, each while it is in the middle of `live`. With `in_step`, the
/// parent says when to go on.
pub(crate) fn fork_and_kill(count: u32, seed: u64, in_step: bool, live: impl Fn()) {
    let mut random = Random(seed);
    for _ in 0..count {
        let life = Duration::from_micros(random.next() % LIFE_US_MAX);
        let forked_ns = monotonic_ns();
        // SAFETY: this process has no other thread that does anything: the harness waits for this one.
        match unsafe { fork() }.expect("a process can be made") {
            ForkResult::Child => {
                live();
                // SAFETY: ends the process without running anything of its parent's.
                unsafe { libc::_exit(1) }
            }
            ForkResult::Parent { child } => {
                thread::sleep(life);
                let at_ns = monotonic_ns();
                kill(child, Signal::SIGKILL).expect("it is not waited for yet");
                let ended = waitpid(child, None);
                let by_us = WaitStatus::Signaled(child, Signal::SIGKILL, false);
                assert_eq!(ended, Ok(by_us), "nothing but us ends it");
                say_whole(&format!("killed {child} {forked_ns} {at_ns}"));
            }
        }
        if in_step {
            child::wait_for_parent();
        }
    }
    say_whole("done");
}
