//! Clients that want out or go, servers and nodes that die.

use std::{
    env,
    time::{Duration, Instant},
};

use ipc_core::{
    Connection, Timeout,
    abi::{Chid, Errno, Nd, Pid, PulseCode},
    set_runtime_dir, snapshot,
};

use crate::{
    lab::{
        GIVE_UP, TestNode, attach, echo, kept, resolve, role, start, start_qnet, two_nodes,
        until_more_are_kept,
    },
    support::in_namespace,
};

#[test]
fn clients_that_want_out_and_clients_that_go_are_noticed_there() {
    in_namespace("endings::inside_unblock");
}

// covers: NET-6 CHN-2 CHN-3
#[test]
#[ignore = "run by clients_that_want_out_and_clients_that_go_are_noticed_there in its namespace"]
fn inside_unblock() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let brief = Timeout::all(Duration::from_millis(50));

    // Pulses before anything else: they wait for the attach there, and come once and in order.
    let connection = attach(nd);
    for value in 0..5 {
        connection.send_pulse(None, PulseCode(9), value).unwrap();
    }
    let pulsed = || {
        let mut values = [0; 64];
        let len = connection.send(b"which pulses?", &mut values).unwrap().len;
        String::from_utf8_lossy(&values[..len]).into_owned()
    };
    while pulsed() != "[0, 1, 2, 3, 4]" {
        std::thread::sleep(Duration::from_millis(1));
    }

    // A server that leaves it to the client.
    assert_eq!(
        connection.send_timeout(b"never", &mut [], brief),
        Err(Errno::ETIMEDOUT)
    );
    echo(&connection, 10, 0);

    // A server that keeps its clients until it has answered.
    let stubborn = Connection::attach(nd, Pid::PROCMGR, Chid(2)).unwrap();
    let mut reply = [0; 16];
    let mut time = brief.duration;
    let answer = loop {
        match stubborn.send_timeout(b"wait", &mut reply, Timeout::all(time)) {
            // The time was over before the server received it: then it is withdrawn (CHN-2).
            Err(Errno::ETIMEDOUT) if time < GIVE_UP => time *= 2,
            outcome => break outcome.unwrap(),
        }
    };
    assert_eq!(
        (answer.status, &reply[..answer.len]),
        (77, &b"after all"[..])
    );

    // A client that detaches is a client that has gone, for its server too.
    let gone = |connection: &Connection| {
        let answer = connection.send(b"how many have gone?", &mut []).unwrap();
        answer.status
    };
    let before = gone(&connection);
    let connected = || {
        set_runtime_dir(wintermute.dir.clone());
        let said = snapshot(wintermute.server.pid()).unwrap();
        set_runtime_dir(magenta.dir.clone());
        said.channels[0].connections
    };
    let all = connected();
    drop(connection);
    // Its next connection is that of another client only when this one has gone.
    while connected() == all {
        std::thread::sleep(Duration::from_millis(1));
    }
    let connection = attach(nd);
    while gone(&connection) == before {
        std::thread::sleep(Duration::from_millis(1));
    }

    // And so is one that is killed while it waits.
    let (before, others) = (gone(&connection), kept(&connection));
    let mut client = role("endings::role_blocked_client", &magenta.dir);
    client.env("TEST_ND", nd.to_string());
    let client = start(client);
    until_more_are_kept(&connection, others);
    drop(client);
    while gone(&connection) == before {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for ever for an answer.
#[test]
#[ignore = "a role in the tests of two nodes"]
fn role_blocked_client() {
    let nd = Nd(env::var("TEST_ND").unwrap().parse().unwrap());
    let connection = attach(nd);
    println!("ready: client");
    let _ = connection.send(b"never", &mut []);
}

#[test]
fn a_server_that_dies_and_a_node_that_dies_end_in_errors() {
    in_namespace("endings::inside_deaths");
}

// covers: NET-5 DTH-2
#[test]
#[ignore = "run by a_server_that_dies_and_a_node_that_dies_end_in_errors in its namespace"]
fn inside_deaths() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();

    // The server dies with a client REPLY-blocked on it.
    let connection = attach(nd);
    echo(&connection, 100, 0);
    let TestNode { dir, server, qnet } = wintermute;
    let other = attach(nd);
    let killer = std::thread::spawn(move || {
        until_more_are_kept(&other, 0);
        drop(server);
    });
    assert_eq!(connection.send(b"never", &mut []), Err(Errno::ESRCH));
    killer.join().unwrap();
    while connection.is_alive() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(connection.send(b"x", &mut []), Err(Errno::EBADF));

    // A new server, and then the whole node dies without a word.
    let _server = start(role("server::role_server", &dir));
    let connection = attach(nd);
    echo(&connection, 100, 1);
    let other = attach(nd);
    let killer = std::thread::spawn(move || {
        until_more_are_kept(&other, 0);
        qnet.signal(nix::sys::signal::Signal::SIGKILL);
        qnet
    });
    let start_of_wait = Instant::now();
    let failed = connection.send(b"never", &mut []).unwrap_err();
    println!(
        "the node's death was noticed after {:?}",
        start_of_wait.elapsed()
    );
    assert!(
        [Errno::EHOSTDOWN, Errno::ESRCH].contains(&failed),
        "{failed:?}"
    );
    drop(killer.join().unwrap());

    // It comes back in a new life, and serves new connections.
    let qnet = start_qnet(&dir, "vb", "wintermute", &[]);
    let connection = attach(nd);
    echo(&connection, 5000, 2);

    // A clean end is told at once: no tolerance passes.
    let other = attach(nd);
    let before = kept(&other);
    let stopper = std::thread::spawn(move || {
        until_more_are_kept(&other, before);
        qnet.signal(nix::sys::signal::Signal::SIGTERM);
        qnet
    });
    assert_eq!(connection.send(b"never", &mut []), Err(Errno::ESRCH));
    let mut stopped = stopper.join().unwrap();
    assert!(stopped.0.wait().unwrap().success());
    assert!(!dir.join("net.sock").exists());

    // The client's own qnet dies in the middle of a large message; its successor needs no cleaning up.
    let _qnet = start_qnet(&dir, "vb", "wintermute", &[]);
    let connection = attach(nd);
    echo(&connection, 100, 3);
    let mine = magenta.qnet;
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        mine.signal(nix::sys::signal::Signal::SIGKILL);
        mine
    });
    let large = vec![1; 16 << 20];
    let failed = loop {
        if let Err(errno) = connection.send(&large, &mut []) {
            break errno;
        }
    };
    assert!([Errno::ESRCH, Errno::EBADF].contains(&failed), "{failed:?}");
    drop(killer.join().unwrap());
    let qnet = start_qnet(&magenta.dir, "va", "magenta", &[]);
    let nd = resolve(qnet.pid(), "wintermute").unwrap();
    echo(&attach(nd), 100_000, 4);
}
