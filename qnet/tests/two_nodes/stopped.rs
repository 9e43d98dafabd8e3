//! A server that is stopped, and the clients of others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Chid},
};
use nix::sys::signal::Signal;

use crate::{
    lab::{attach, echo, resolve, role, start, two_nodes},
    support::in_namespace,
};

/// Clients of the stopped server: more than there are threads for attaches.
const CLIENTS: usize = 24;

#[test]
fn a_stopped_server_keeps_the_clients_of_others_waiting_for_nothing() {
    in_namespace("stopped::inside_stopped");
}

// covers: NET-5
#[test]
#[ignore = "run by a_stopped_server_keeps_the_clients_of_others_waiting_for_nothing in its namespace"]
fn inside_stopped() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let server = start(role("stopped::role_plain_server", &wintermute.dir));
    let pid = server.pid();
    server.stop();
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || {
                let connection = Connection::attach(nd, pid, Chid(1)).unwrap();
                let _ = connection.send(b"into the void", &mut []);
                is_over.store(true, Ordering::SeqCst);
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    // In the order of things, not by the clock: all of those wait still when this one has been served.
    echo(&attach(nd), 1000, 0);
    assert!(!is_over.load(Ordering::SeqCst));
    server.signal(Signal::SIGCONT);
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
}

/// Answers everybody with nothing.
#[test]
#[ignore = "a role in the tests of two nodes"]
fn role_plain_server() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    assert_eq!(channel.chid(), Chid(1));
    println!("ready: plain server");
    loop {
        if let Ok(Received::Message(message)) = channel.receive() {
            let _ = message.reply(0, &[]);
        }
    }
}
