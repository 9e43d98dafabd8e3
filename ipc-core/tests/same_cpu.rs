//! Both ends of a connection on one CPU, often enough that they give way to each other before they sleep.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    Channel, Connection, Received, SpinPolicy,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode, limits::GIVE_WAY_AFTER},
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd,
};

const ROUNDS: u32 = 4 * GIVE_WAY_AFTER;
/// More than any of them takes, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LAST: PulseCode = PulseCode(1);

/// Keeps the calling thread on the first CPU that it may use.
fn pin() {
    let me = unistd::Pid::from_raw(0);
    let allowed = sched_getaffinity(me).unwrap();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu).unwrap());
    let mut only = CpuSet::new();
    only.set(first.unwrap()).unwrap();
    sched_setaffinity(me, &only).unwrap();
}

/// Answers every message with its own bytes until the last pulse comes; answers how many others came.
fn serve(channel: &Channel) -> u32 {
    pin();
    let mut pulses = 0;
    loop {
        // A client that fails sends no last pulse.
        match channel.receive_timeout(PATIENCE).unwrap() {
            Received::Message(message) => {
                let bytes = message.read_vec(0, message.len()).unwrap();
                message.reply(1, &bytes).unwrap();
            }
            Received::Pulse(pulse) if pulse.code == LAST => return pulses,
            Received::Pulse(_) => pulses += 1,
        }
    }
}

fn exchange(connection: &Connection) {
    for round in 0..ROUNDS {
        let mut reply = [0; 4];
        connection.send(&round.to_ne_bytes(), &mut reply).unwrap();
        assert_eq!(u32::from_ne_bytes(reply), round);
        if round % 8 == 0 {
            connection.send_pulse(None, PulseCode(0), 0).unwrap();
        }
    }
    connection.send_pulse(Some(0), LAST, 0).unwrap();
}

fn pair(policy: SpinPolicy) -> (Channel, Connection) {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    channel.set_spin(policy);
    connection.set_spin(policy);
    (channel, connection)
}

// covers: SND-1, PLS-2
#[test]
fn nothing_is_lost_between_two_that_give_way_to_each_other() {
    for policy in [SpinPolicy::Never, SpinPolicy::Adaptive] {
        let (channel, connection) = pair(policy);
        thread::scope(|scope| {
            let server = scope.spawn(|| serve(&channel));
            scope.spawn(|| {
                pin();
                exchange(&connection);
            });
            assert_eq!(server.join().unwrap(), ROUNDS.div_ceil(8), "{policy:?}");
        });
    }
}

#[test]
fn nor_beside_a_third_thread_that_never_sleeps() {
    let (channel, connection) = pair(SpinPolicy::Never);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin();
            while !is_over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let server = scope.spawn(|| serve(&channel));
        scope.spawn(|| {
            pin();
            exchange(&connection);
        });
        let pulses = server.join();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(pulses.unwrap(), ROUNDS.div_ceil(8));
    });
}

// covers: TMO-1, TMO-2
#[test]
fn who_gave_way_in_vain_still_sleeps_until_the_time_is_over() {
    let (channel, connection) = pair(SpinPolicy::Never);
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(&channel));
        scope.spawn(|| {
            pin();
            exchange(&connection);
        });
        server.join().unwrap();
    });
    let time = Duration::from_millis(20);
    let begin = Instant::now();
    assert_eq!(
        channel.receive_timeout(time).map(drop),
        Err(Errno::ETIMEDOUT)
    );
    let sent = connection.send_timeout(b"nobody receives", &mut [], time);
    assert_eq!(sent, Err(Errno::ETIMEDOUT));
    assert!(begin.elapsed() >= 2 * time);
}
