//! What is left of an honest client's throughput beside a hostile one. A measurement, not a test: run it with
//! `cargo test --release -p ipc-core --test hostile -- --ignored --nocapture --test-threads 1 share::measure`.
//!
//! A hostile client costs the others something, as every client does: processor time, its own and that of the server's
//! monitor, and the server's for each of its messages. So beside each attack the honest client is measured against
//! itself beside a companion, an honest client whose messages are as long and as many in flight as the attacker's,
//! that sends as fast as it is answered within the processor time that attacker and monitor used: what is missing then
//! is what the attack breaks, and not what a busy neighbour costs anybody. Blocks of both take turns in the order
//! A B B A; the figure is the median of their ratios, with a bootstrap interval.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    Connection, Pipeline, PipelineOptions,
    abi::{Nd, Pid},
};
use nix::time::{ClockId, clock_gettime};

use crate::{
    batches,
    floods::{self, Attack},
    random::Random,
    raw::{ARENA_LEN, SLOTS},
    scribble,
    server::Server,
};

const BLOCK: Duration = Duration::from_millis(100);

/// Groups of four blocks for each attack.
const GROUPS: usize = 15;

/// Resamples of the ratios for the interval.
const RESAMPLES: usize = 2000;

/// Pause of a companion that used its share.
const PAUSE: Duration = Duration::from_micros(50);

/// How far behind its share a companion has to be before it computes instead of sending.
const BEHIND_NS: f64 = 200_000.0;

/// What the companion of an attack sends: bytes of each message, and of its reply.
type Work = (usize, usize);

/// As most attackers' messages.
const SHORT: Work = (5, 16);

const LONG: Work = (ARENA_LEN as usize, ARENA_LEN as usize - 1);

const ATTACKS: [(&str, Attack, Work); 10] = [
    ("entries again and again", floods::replay, SHORT),
    ("lengths that change", floods::flip_lengths, (16, 16)),
    ("kinds that change", batches::flip_kinds, SHORT),
    ("orders that are none", batches::vouch_for_no_order, SHORT),
    ("leaving in the middle", batches::leave_in_the_middle, LONG),
    ("scribbling", scribble_for_ever, SHORT),
    ("pulses", floods::flood_pulses, SHORT),
    ("cancels", floods::storm_of_cancels, SHORT),
    ("attaches", floods::flood_attaches, SHORT),
    ("questions", floods::ask_without_listening, SHORT),
];

/// What runs beside the honest client.
#[derive(Clone, Copy)]
enum Beside {
    Attack(Attack),
    /// An honest client that uses so much processor time per time that passes.
    Companion(f64, Work),
}

/// Messages per second of the honest client, and the processor time per time of what ran beside it.
struct Block {
    rate: f64,
    cost: f64,
}

#[test]
#[ignore = "a measurement: takes a minute, and is as good as the machine is quiet"]
fn measure_one_by_one() {
    measure(Server::start);
}

#[test]
#[ignore = "a measurement: takes a minute, and is as good as the machine is quiet"]
fn measure_in_batches() {
    measure(Server::in_batches);
}

/// Prints the honest client's share beside each attack, or beside those that `IPC_CORE_ATTACK` names a part of.
fn measure(start: fn() -> Server) {
    let wanted = std::env::var("IPC_CORE_ATTACK").unwrap_or_default();
    for (name, attack, work) in ATTACKS {
        if !name.contains(&wanted) {
            continue;
        }
        let groups: Vec<_> = (0..GROUPS).map(|_| compare(start, attack, work)).collect();
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
fn compare(start: fn() -> Server, attack: Attack, work: Work) -> (f64, f64) {
    let first = block(start, Beside::Attack(attack));
    let companion = Beside::Companion(first.cost, work);
    let (second, third) = (block(start, companion), block(start, companion));
    let fourth = block(start, Beside::Attack(attack));
    let ratio = (first.rate + fourth.rate) / (second.rate + third.rate);
    (ratio, (first.cost + fourth.cost) / 2.0)
}

fn block(start: fn() -> Server, beside: Beside) -> Block {
    let server = start();
    let honest = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    let (stop, used_ns) = (AtomicBool::new(false), AtomicU64::new(0));
    let monitor_before = monitor_ns();
    let begin = Instant::now();
    let (server, stop, used_ns) = (&server, &stop, &used_ns);
    let sent = thread::scope(|scope| {
        let _at_end = floods::Stop(stop);
        match beside {
            Beside::Attack(attack) => {
                scope.spawn(move || {
                    attack(server, stop);
                    used_ns.fetch_add(thread_ns(), Ordering::Relaxed);
                });
            }
            Beside::Companion(share, work) => {
                let budget = Budget {
                    share,
                    begin,
                    used_ns,
                };
                scope.spawn(move || accompany(server, stop, &budget, work));
                scope.spawn(move || compute(stop, &budget));
            }
        }
        let mut sent = 0_u32;
        while begin.elapsed() < BLOCK {
            honest.send(&[1; 64], &mut [0; 64]).expect("it is answered");
            sent += 1;
        }
        sent
    });
    let elapsed_ns = begin.elapsed().as_nanos() as f64;
    let used_ns = used_ns.load(Ordering::Relaxed) + monitor_ns() - monitor_before;
    Block {
        rate: f64::from(sent) / BLOCK.as_secs_f64(),
        cost: used_ns as f64 / elapsed_ns,
    }
}

/// The processor time that a companion's threads may use together.
#[derive(Clone, Copy)]
struct Budget<'a> {
    /// Per time that passes.
    share: f64,
    begin: Instant,
    used_ns: &'a AtomicU64,
}

impl Budget<'_> {
    /// Notes what the calling thread has used since it was at `noted_ns`; answers what is left.
    fn note(&self, noted_ns: &mut u64) -> f64 {
        let now_ns = thread_ns();
        let more_ns = now_ns - std::mem::replace(noted_ns, now_ns);
        let used_ns = self.used_ns.fetch_add(more_ns, Ordering::Relaxed) + more_ns;
        self.share * self.begin.elapsed().as_nanos() as f64 - used_ns as f64
    }
}

/// Sends as fast as it is answered while it has processor time left.
fn accompany(server: &Server, stop: &AtomicBool, budget: &Budget<'_>, (len, reply_len): Work) {
    let client = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    let options = PipelineOptions {
        depth: SLOTS,
        len_max: len,
        reply_len_max: reply_len,
    };
    let mut client = Pipeline::new(client, &options).expect("fresh");
    let (message, mut noted_ns) = (vec![1; len], 0);
    while !stop.load(Ordering::Relaxed) {
        if budget.note(&mut noted_ns) < 0.0 {
            thread::sleep(PAUSE);
            continue;
        }
        for _ in 0..SLOTS {
            client.submit(&message).expect("there is room");
        }
        for _ in 0..SLOTS {
            client.next(None).expect("it is in flight");
        }
    }
}

/// Uses what processor time is left: who waits for answers cannot use all.
fn compute(stop: &AtomicBool, budget: &Budget<'_>) {
    let mut noted_ns = 0;
    while !stop.load(Ordering::Relaxed) {
        if budget.note(&mut noted_ns) < BEHIND_NS {
            thread::sleep(PAUSE);
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
