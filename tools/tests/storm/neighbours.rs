//! A healthy client beside neighbours that are slow, dead or deaf: they share its node's qnet, its link and
//! the other node's qnet, and it must not wait for them.
//!
//! What it waits because the processors are busy is told apart by a burst of the same bytes to a server on the slow one's own
//! node, of which no qnet hears.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ipc_core::Channel;
use ipc_core::abi::ChannelFlags;
use ipc_core::proc::{NameScope, name_attach, name_open};
use nix::sys::signal::Signal;
use qnet::daemon::notify_ready;
use tools::netlab::Lab;

use crate::figures::Ratios;
use crate::load::{start, until_ok};
use crate::meter::{Figures, Meter, start_sink};
use crate::random::count;
use crate::support::{lab, setting};

/// Bytes of the neighbours' messages: more than is carried along unasked.
const LEN: usize = 256 << 10;
/// Threads of each neighbour, each with a message under way.
const THREADS: u32 = 8;
/// The slow one runs for so long, and is stopped for so long.
const RUNS: Duration = Duration::from_millis(1);
const STOPS: Duration = Duration::from_millis(40);

// covers: NET-4
#[test]
fn a_healthy_client_does_not_wait_for_slow_and_dead_ones_or_a_deaf_server() {
    let Some(lab) = lab(&["--no-home"]) else {
        return;
    };
    start_sink(&lab, "wintermute", "sink");
    start(&lab, "wintermute", "deaf", "neighbours::part_deaf", &[]);
    let sink = "/net/wintermute/dev/name/local/sink";
    start_sink(&lab, "magenta", "near");
    let deaf = "/net/wintermute/dev/name/local/deaf";
    let neighbours = [("slow", sink), ("dead", sink), ("unheard", deaf)];
    let at_home = ("slow-at-home", "/dev/name/local/near");
    for (name, target) in neighbours.into_iter().chain([at_home]) {
        let part = "neighbours::part_sender";
        start(&lab, "magenta", name, part, &[("TARGET", target)]);
        kill(&lab, name, Signal::SIGKILL);
    }
    let mut meter = Meter::start(&lab, "magenta", sink, 1, 64);
    let span = Duration::from_millis(count("QNET_NEIGHBOURS_MS", 300));
    let [mut still, mut home, mut all] = [(); 3].map(|()| Ratios::default());
    for _ in 0..count("QNET_NEIGHBOURS_BLOCKS", 1) {
        let mut arms = vec![("alone", meter.measure(span))];
        lab.restart("magenta", at_home.0)
            .expect("nothing is in its way");
        arms.push(("at home", beside(&lab, &mut meter, span, at_home.0)));
        kill(&lab, at_home.0, Signal::SIGKILL);
        for (name, _) in neighbours {
            lab.restart("magenta", name).expect("nothing is in its way");
        }
        // They die to the world in the middle of their messages; one comes back to it now and then.
        kill(&lab, "dead", Signal::SIGSTOP);
        kill(&lab, "slow", Signal::SIGSTOP);
        arms.push(("still", meter.measure(span)));
        arms.extend([(); 2].map(|()| ("beside", beside(&lab, &mut meter, span, "slow"))));
        kill(&lab, "slow", Signal::SIGSTOP);
        arms.push(("still", meter.measure(span)));
        for (name, _) in neighbours {
            kill(&lab, name, Signal::SIGKILL);
        }
        arms.push(("alone", meter.measure(span)));
        for (what, figures) in &arms {
            println!("{what:<7} {figures:.0?}");
        }
        let p99 = |name: &str| -> f64 {
            let its = arms.iter().filter(|(what, _)| *what == name);
            let count = its.clone().count() as f64;
            its.map(|(_, figures)| figures.p99_us).sum::<f64>() / count
        };
        home.add(p99("at home") / p99("alone"));
        still.add(p99("still") / p99("alone"));
        all.add(p99("beside") / p99("alone"));
    }
    still.print("p99 beside neighbours that all stand still / alone");
    home.print("p99 beside a slow one whose messages stay on its node / alone");
    all.print("p99 beside one that is slow and the others / alone");
}

/// Measures while a slow one is stopped most of the time.
fn beside(lab: &Lab, meter: &mut Meter, span: Duration, slow: &str) -> Figures {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                kill(lab, slow, Signal::SIGSTOP);
                thread::sleep(STOPS);
                kill(lab, slow, Signal::SIGCONT);
                thread::sleep(RUNS);
            }
        });
        let figures = meter.measure(span);
        is_over.store(true, Ordering::Relaxed);
        figures
    })
}

fn kill(lab: &Lab, daemon: &str, signal: Signal) {
    lab.kill("magenta", daemon, signal).expect("it runs");
}

#[test]
#[ignore = "run by the tests here as a daemon: never receives"]
fn part_deaf() {
    let channel = Channel::create(ChannelFlags::empty()).expect("a channel");
    let _registration = until_ok(|| name_attach("deaf", &channel, NameScope::Local));
    notify_ready("deaf");
    loop {
        thread::park();
    }
}

#[test]
#[ignore = "run by the tests here as a daemon: large messages without end"]
fn part_sender() {
    let target = setting("TARGET");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let connection = until_ok(|| name_open(&target, NameScope::Local));
                let message = vec![7; LEN];
                while connection.send(&message, &mut [0; 8]).is_ok() {}
            });
        }
        notify_ready("sender");
    });
}
