//! What is left of an honest client's throughput beside a hostile one. A measurement, not a test: run it with
//! `cargo test --release -p ipc-core --test hostile -- --ignored --nocapture --test-threads 1 share::measure`.
//!
//! A hostile client costs processor time, its own and that of the server's monitor, as every client may. So beside
//! each attack the honest client is measured against itself beside a client that uses as much of it and is honest: what
//! is missing then is what the attack breaks, and not what a busy machine costs anybody. Blocks of both take turns in
//! the order A B B A; the figure is the median of their ratios, with a bootstrap interval.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    Connection,
    abi::{Nd, Pid},
};
use nix::time::{ClockId, clock_gettime};

use crate::{
    batches,
    floods::{self, Attack},
    random::Random,
    scribble,
    server::Server,
};

const BLOCK: Duration = Duration::from_millis(100);

/// Groups of four blocks for each attack.
const GROUPS: usize = 9;

/// Resamples of the ratios for the interval.
const RESAMPLES: usize = 2000;

/// Pause of a companion that used its share.
const PAUSE: Duration = Duration::from_micros(50);

const ATTACKS: [(&str, Attack); 10] = [
    ("entries again and again", floods::replay),
    ("lengths that change", floods::flip_lengths),
    ("kinds that change", batches::flip_kinds),
    ("orders that are none", batches::vouch_for_no_order),
    ("leaving in the middle", batches::leave_in_the_middle),
    ("scribbling", scribble_for_ever),
    ("pulses", floods::flood_pulses),
    ("cancels", floods::storm_of_cancels),
    ("attaches", floods::flood_attaches),
    ("questions", floods::ask_without_listening),
];

/// What runs beside the honest client.
#[derive(Clone, Copy)]
enum Beside {
    Attack(Attack),
    /// An honest client that sends, and uses so much processor time per time that passes.
    Companion(f64),
}

/// Messages per second of the honest client, and the processor time per time of what ran beside it.
struct Block {
    rate: f64,
    cost: f64,
}

#[test]
#[ignore = "a measurement: takes a minute, and is only as good as the machine is quiet"]
fn measure_one_by_one() {
    measure(Server::start);
}

#[test]
#[ignore = "a measurement: takes a minute, and is only as good as the machine is quiet"]
fn measure_in_batches() {
    measure(Server::in_batches);
}

/// Prints the honest client's share beside each attack.
fn measure(start: fn() -> Server) {
    for (name, attack) in ATTACKS {
        let groups: Vec<_> = (0..GROUPS).map(|_| compare(start, attack)).collect();
        let ratios: Vec<f64> = groups.iter().map(|(ratio, _)| *ratio).collect();
        let cost = median(groups.iter().map(|(_, cost)| *cost).collect());
        let (low, high) = interval(&ratios);
        println!(
            "beside {name} ({:.0} % of a processor): {:.2} [{low:.2}, {high:.2}]",
            cost * 100.0,
            median(ratios),
        );
    }
}

/// One group of blocks: the ratio of rates beside the attack and beside the companion, and the attack's cost.
fn compare(start: fn() -> Server, attack: Attack) -> (f64, f64) {
    let first = block(start, Beside::Attack(attack));
    let companion = Beside::Companion(first.cost);
    let (second, third) = (block(start, companion), block(start, companion));
    let fourth = block(start, Beside::Attack(attack));
    let ratio = (first.rate + fourth.rate) / (second.rate + third.rate);
    (ratio, (first.cost + fourth.cost) / 2.0)
}

fn block(start: fn() -> Server, beside: Beside) -> Block {
    let server = start();
    let honest = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    let stop = AtomicBool::new(false);
    let monitor_before = monitor_ns();
    let begin = Instant::now();
    let (server, stop) = (&server, &stop);
    let (sent, used_ns) = thread::scope(|scope| {
        let threads = match beside {
            Beside::Attack(_) => 1,
            Beside::Companion(share) => share.ceil().max(1.0) as usize,
        };
        let others: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn(move || {
                    match beside {
                        Beside::Attack(attack) => attack(server, stop),
                        Beside::Companion(share) => {
                            accompany(server, stop, share / threads as f64, number == 0);
                        }
                    }
                    thread_ns()
                })
            })
            .collect();
        let _at_end = floods::Stop(stop);
        let mut sent = 0_u32;
        while begin.elapsed() < BLOCK {
            honest.send(&[1; 64], &mut [0; 64]).expect("it is answered");
            sent += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let used = others
            .into_iter()
            .map(|other| other.join().expect("no panic"));
        (sent, used.sum::<u64>())
    });
    let elapsed_ns = begin.elapsed().as_nanos() as f64;
    Block {
        rate: f64::from(sent) / BLOCK.as_secs_f64(),
        cost: (used_ns + monitor_ns() - monitor_before) as f64 / elapsed_ns,
    }
}

/// Sends, if it is to, and computes until it has used its share of a processor; rests when it has.
fn accompany(server: &Server, stop: &AtomicBool, share: f64, sends: bool) {
    let client = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if sends {
            client.send(&[1; 64], &mut [0; 64]).expect("it is answered");
        }
        let owed_ns = |used_ns: u64| share * begin.elapsed().as_nanos() as f64 - used_ns as f64;
        if owed_ns(thread_ns()) < 0.0 {
            thread::sleep(PAUSE);
        }
        let until = Instant::now() + PAUSE;
        while owed_ns(thread_ns()) > 0.0 && Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

fn scribble_for_ever(server: &Server, stop: &AtomicBool) {
    scribble::scribble_regions(server, 31, stop);
}

/// Processor time that the calling thread has used.
fn thread_ns() -> u64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the clock exists");
    Duration::from(used).as_nanos() as u64
}

/// Processor time that the library's monitor thread has used; 0 before it runs.
fn monitor_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("it is mounted");
    let mut paths = tasks.flatten().map(|entry| entry.path());
    let monitor = paths.find(|path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "ipc-monitor")
    });
    let statistics = monitor.and_then(|path| fs::read_to_string(path.join("schedstat")).ok());
    let first = statistics
        .as_deref()
        .and_then(|line| line.split_whitespace().next());
    first.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The middle 95 % of the medians of resamples.
fn interval(values: &[f64]) -> (f64, f64) {
    let mut random = Random(41);
    let mut pick = || values[random.next() as usize % values.len()];
    let resample = |_| median(values.iter().map(|_| pick()).collect());
    let mut medians: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    medians.sort_by(f64::total_cmp);
    (medians[RESAMPLES / 40], medians[RESAMPLES - RESAMPLES / 40])
}
