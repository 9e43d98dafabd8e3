//! Clients that are killed while they attach, send, wait, send pulses and detach.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ipc_core::{
    Channel, Connection, Received, Timeout,
    abi::{ChannelFlags, Chid, Nd, Pid, PulseCode},
};

use crate::{
    child::{self, Child, say},
    kills,
    leftovers::Holdings,
    nursery::{fork_and_kill, monotonic_ns},
    times::Times,
};

const STOP: PulseCode = PulseCode(0);
const BUSY: PulseCode = PulseCode(5);

// covers: DTH-1, DTH-2, CHN-3
#[test]
fn clients_killed_at_random_moments_leave_nothing_and_disturb_nobody() {
    let mut alone = Child::start("clients::inside_a_server", "");
    println!("{}", alone.said());
    alone.end();
}

#[test]
#[ignore = "run by clients_killed_at_random_moments_leave_nothing_and_disturb_nobody in a process of its own"]
fn inside_a_server() {
    let channel = Channel::create(ChannelFlags::DISCONNECT).expect("a channel can be made");
    let chid = channel.chid();
    // When each client was seen to go, as often as it did: clients detach by themselves, too.
    let gone: Gone = Mutex::default();
    let stop = AtomicBool::new(false);
    let steady = Connection::attach(Nd::LOCAL, Pid::SELF, chid).expect("it accepts");
    thread::scope(|scope| {
        scope.spawn(|| serve(&channel, &gone));
        let lives = scope.spawn(|| echo_until(&steady, &stop));
        let before = Holdings::now();
        let mut nursery = Child::start("clients::inside_a_nursery", chid);
        let killed = take_killed(&mut nursery);
        assert_eq!(killed.len(), kills() as usize);
        nursery.end();
        before.must_come_back();
        stop.store(true, Ordering::Relaxed);
        // Its last message needs the server, which goes after it.
        lives.join().expect("the client that lives ends well");
        channel.send_pulse(0, STOP, 0).expect("there is room");
        print_times(&killed, &gone);
    });
}

/// Times of departure by process.
type Gone = Mutex<HashMap<i32, Vec<u64>>>;

/// A process, when it was made and when it was killed.
struct Killed {
    pid: i32,
    forked_ns: u64,
    at_ns: u64,
}

fn print_times(killed: &[Killed], gone: &Gone) {
    let gone = gone.lock().expect("no panic");
    let mut times = Times::default();
    // Process ids are used again: what was seen after the next of this id was made is about that one.
    let mut next_forked = HashMap::new();
    for life in killed.iter().rev() {
        let end_ns = next_forked.insert(life.pid, life.forked_ns);
        let of_life = life.at_ns..end_ns.unwrap_or(u64::MAX);
        let mut seen = gone.get(&life.pid).into_iter().flatten();
        // One that was not attached when it was killed was missed by nobody.
        if let Some(seen_ns) = seen.find(|seen_ns| of_life.contains(seen_ns)) {
            times.add(life.at_ns, *seen_ns);
        }
    }
    say(times.tell("killed clients, by DISCONNECT"));
}

/// What the nursery killed, and when, until it is done.
fn take_killed(nursery: &mut Child) -> Vec<Killed> {
    let mut killed = Vec::new();
    loop {
        let line = nursery.said();
        let mut words = line.split(' ');
        match words.next() {
            Some("done") => return killed,
            Some("killed") => {
                let mut number = || words.next()?.parse::<u64>().ok();
                let mut number = || number().expect("the nursery says three numbers");
                killed.push(Killed {
                    pid: number() as i32,
                    forked_ns: number(),
                    at_ns: number(),
                });
            }
            _ => panic!("a client said: {line}"),
        }
    }
}

/// Echoes until it is stopped, and notes who went.
fn serve(channel: &Channel, gone: &Gone) {
    loop {
        match channel.receive().expect("the channel lives") {
            Received::Message(message) => {
                // A client that was killed in between is no longer blocked.
                if let Ok(bytes) = message.read_vec(0, message.len()) {
                    let _ = message.write(bytes.len() / 2, &bytes[bytes.len() / 2..]);
                    let _ = message.reply(bytes.len() as i64, &bytes);
                }
            }
            Received::Pulse(pulse) if pulse.code == PulseCode::DISCONNECT => {
                let seen_ns = monotonic_ns();
                let pid = channel
                    .client_info(pulse.scoid)
                    .expect("not detached yet")
                    .pid;
                channel.detach_client(pulse.scoid).expect("it is gone");
                gone.lock()
                    .expect("no panic")
                    .entry(pid.0)
                    .or_default()
                    .push(seen_ns);
            }
            Received::Pulse(pulse) if pulse.code == STOP => return,
            Received::Pulse(_) => {}
        }
    }
}

/// A client that lives: every message of its must come back as it is, whoever dies beside it.
fn echo_until(connection: &Connection, stop: &AtomicBool) {
    let mut round = 0_u8;
    while !stop.load(Ordering::Relaxed) {
        round = round.wrapping_add(1);
        for len in [4, 300] {
            let mut reply = vec![0; len];
            let answer = connection.send(&vec![round; len], &mut reply);
            assert_eq!(answer.map(|reply| reply.status), Ok(len as i64));
            assert!(reply.iter().all(|byte| *byte == round));
        }
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
#[ignore = "run by inside_a_server"]
fn inside_a_nursery() {
    let chid = Chid(child::argument().parse().expect("a number"));
    let server = child::parent();
    fork_and_kill(kills(), 0xc11e47, false, || attach_and_send(server, chid));
}

/// Does all that a client does, until it is killed.
fn attach_and_send(server: Pid, chid: Chid) {
    let no_time = Timeout::all(std::time::Duration::ZERO);
    loop {
        let connection = Connection::attach(Nd::LOCAL, server, chid).expect("it lives");
        thread::scope(|scope| {
            for len in [0, 70, 5000, 60_000] {
                let connection = &connection;
                scope.spawn(move || {
                    let (message, mut reply) = (vec![7; len], vec![0; len]);
                    for _ in 0..20 {
                        let answer = connection.send(&message, &mut reply);
                        answer.expect("the server lives");
                        // Full when the server is slow.
                        let _ = connection.send_pulse(Some(9), BUSY, 0);
                        let _ = connection.send_timeout(&message, &mut reply, no_time);
                    }
                });
            }
        });
    }
}
