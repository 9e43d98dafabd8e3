//! What is left of an honest client's throughput beside a hostile one. A measurement, not a test: run it with
//! `cargo test --release -p ipc-core --test hostile -- --ignored --nocapture share::measure`.
//!
//! Beside each attack the honest client is measured against itself beside a client that is as busy and honest, in
//! alternating blocks: the machine has to run two clients both times, so that only what the attack breaks is missing.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    Connection,
    abi::{Nd, Pid},
};

use crate::{
    floods::{self, Attack},
    server::Server,
};

const BLOCK: Duration = Duration::from_millis(200);
const BLOCKS: usize = 7;

#[test]
#[ignore = "a measurement: takes half a minute, and is only as good as the machine is quiet"]
fn measure() {
    let attacks: [(&str, Attack); 6] = [
        ("entries again and again", floods::replay),
        ("lengths that change", floods::flip_lengths),
        ("pulses", floods::flood_pulses),
        ("cancels", floods::storm_of_cancels),
        ("attaches", floods::flood_attaches),
        ("questions", floods::ask_without_listening),
    ];
    for (name, attack) in attacks {
        let mut ratios: Vec<f64> = (0..BLOCKS)
            .map(|block| {
                // ABBA: what changes slowly on the machine hits both alike.
                let (first, second): (Attack, Attack) = match block % 2 {
                    0 => (attack, be_busy),
                    _ => (be_busy, attack),
                };
                let (first, second) = (rate_beside(first), rate_beside(second));
                if block % 2 == 0 {
                    first / second
                } else {
                    second / first
                }
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let (low, median, high) = (ratios[0], ratios[BLOCKS / 2], ratios[BLOCKS - 1]);
        println!(
            "beside a flood of {name}: {median:.2} of what is left beside an honest client ({low:.2} to {high:.2})"
        );
    }
}

/// An honest client that does nothing but send.
fn be_busy(server: &Server, stop: &AtomicBool) {
    let client = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    while !stop.load(Ordering::Relaxed) {
        client.send(&[1; 64], &mut [0; 64]).expect("it is answered");
    }
}

/// Messages per second of one client beside another.
fn rate_beside(other: Attack) -> f64 {
    let server = Server::start();
    let honest = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| other(&server, &stop));
        let mut sent = 0_u32;
        let start = Instant::now();
        while start.elapsed() < BLOCK {
            honest.send(&[1; 64], &mut [0; 64]).expect("it is answered");
            sent += 1;
        }
        stop.store(true, Ordering::Relaxed);
        f64::from(sent) / start.elapsed().as_secs_f64()
    })
}
