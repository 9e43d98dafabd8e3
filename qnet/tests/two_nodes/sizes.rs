//! Messages of every size, over frames of every length and bad wires.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use ipc_core::abi::{Errno, Nd, Pid};
use qnet::limits::KEPT_LEN_MAX;
use qnet_proto::limits::MESSAGE_LEN_MAX;

use crate::{
    lab::{attach, echo, resolve, two_nodes},
    support::in_namespace,
};

#[test]
fn messages_of_every_size_come_back() {
    in_namespace("sizes::inside_every_size");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back in its namespace"]
fn inside_every_size() {
    every_size(1500, &[]);
}

#[test]
fn messages_of_every_size_come_back_over_jumbo_frames() {
    in_namespace("sizes::inside_every_size_jumbo");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_over_jumbo_frames in its namespace"]
fn inside_every_size_jumbo() {
    every_size(9000, &[]);
}

#[test]
fn messages_of_every_size_come_back_over_the_longest_frames() {
    in_namespace("sizes::inside_every_size_longest");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_over_the_longest_frames in its namespace"]
fn inside_every_size_longest() {
    every_size(65_535, &[]);
}

// covers: NET-4
#[test]
fn messages_of_every_size_come_back_in_the_longest_frames_over_a_bad_wire() {
    in_namespace("sizes::inside_every_size_longest_bad_wire");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_in_the_longest_frames_over_a_bad_wire in its namespace"]
fn inside_every_size_longest_bad_wire() {
    every_size(
        65_535,
        &["--faults", "loss=0.05,dup=0.05,reorder=0.05,seed=12"],
    );
}

// covers: NET-4 RMG-5
#[test]
fn messages_of_every_size_come_back_over_a_bad_wire() {
    in_namespace("sizes::inside_every_size_bad_wire");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_over_a_bad_wire in its namespace"]
fn inside_every_size_bad_wire() {
    every_size(
        1500,
        &["--faults", "loss=0.05,dup=0.02,reorder=0.05,seed=11"],
    );
}

fn every_size(mtu: usize, more: &[&str]) {
    let (_root, magenta, _wintermute) = two_nodes(mtu, more);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    assert!(!nd.is_local());
    assert_eq!(resolve(magenta.qnet.pid(), "magenta"), Ok(Nd::LOCAL));
    let connection = attach(nd);
    for (salt, len) in [
        0,
        1,
        60,
        1400,
        1500,
        16 << 10,
        (16 << 10) + 1,
        100_000,
        1 << 20,
        16 << 20,
    ]
    .into_iter()
    .enumerate()
    {
        echo(&connection, len, salt as u8);
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let connection = &connection;
            scope.spawn(move || (0..50).for_each(|i| echo(connection, i * 97, thread)));
        }
    });
    assert_eq!(
        connection.send(b"fail", &mut []).unwrap_err(),
        Errno::ENOSPC
    );
    let mut pieces = [b'.'; 32];
    assert_eq!(
        connection.send(b"in pieces", &mut pieces).unwrap().status,
        3
    );
    assert_eq!(&pieces[..3], b"now");
    assert_eq!(
        (&pieces[8..14], &pieces[20..25]),
        (&b"before"[..], &b"later"[..])
    );
    let mut who = [0; 64];
    let len = connection.send(b"who am I?", &mut who).unwrap().len;
    let uid = nix::unistd::geteuid();
    let expected = format!("1 {} {uid}", Pid::current());
    assert_eq!(String::from_utf8_lossy(&who[..len]), expected);
}

#[test]
fn memory_that_long_messages_took_is_given_back_when_many_clients_were_busy_once() {
    in_namespace("sizes::inside_given_back");
}

/// Clients that each send the longest message and get it back: 32 MiB that their connection there keeps.
const CLIENTS: usize = 8;

#[test]
#[ignore = "run by memory_that_long_messages_took_is_given_back_when_many_clients_were_busy_once in its namespace"]
fn inside_given_back() {
    let (_root, magenta, wintermute) = two_nodes(65_535, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let clients = [(); CLIENTS].map(|()| attach(nd));
    for (client, salt) in clients.iter().zip(0..) {
        echo(client, MESSAGE_LEN_MAX, salt);
    }
    // The last of them, too, as soon as its answer is known to have arrived.
    let most = KEPT_LEN_MAX + MESSAGE_LEN_MAX;
    assert!(most < 2 * CLIENTS * MESSAGE_LEN_MAX);
    let give_up = Instant::now() + Duration::from_secs(60);
    while shared_len(wintermute.qnet.pid()) > most {
        assert!(Instant::now() < give_up, "it is kept");
        thread::sleep(Duration::from_millis(10));
    }
    clients.iter().for_each(|client| echo(client, 100_000, 9));
}

/// Bytes of shared memory that are in this process's pages.
fn shared_len(pid: Pid) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssShmem:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.unwrap().parse::<usize>().unwrap() << 10
}
