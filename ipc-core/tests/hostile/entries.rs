//! Submission entries that no honest client posts: each is counted and ends its connection.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ipc_core::{
    Connection,
    abi::{Nd, Pid},
};

use crate::{
    raw::{ARENA_LEN, Client, HEAD, HONEST, Header, SLOTS},
    server::{Server, must_echo},
};

/// Posts one entry and waits until the connection is cut.
fn must_be_cut(server: &Server, post: impl FnOnce(&mut Client)) {
    let before = server.faults();
    let mut client = Client::attach(server.chid());
    post(&mut client);
    // Wakes the server as an honest client's message does.
    server.must_serve();
    client.control.until_hung_up();
    assert!(server.faults() > before, "the fault is counted");
    server.must_serve();
}

#[test]
fn malformed_entries_are_blamed_on_their_client() {
    let server = Server::start();
    let arena = Header { flags: 0, ..HONEST };
    let malformed = [
        Header { kind: 0, ..HONEST },
        Header {
            kind: 255,
            ..HONEST
        },
        Header {
            flags: 0xffff,
            ..HONEST
        },
        Header {
            slot: SLOTS,
            ..HONEST
        },
        Header {
            slot: u32::MAX,
            ..HONEST
        },
        Header { len: 81, ..HONEST },
        Header {
            len: u32::MAX,
            ..HONEST
        },
        Header {
            reply_len: 97,
            ..HONEST
        },
        Header {
            reply_len: u32::MAX,
            ..HONEST
        },
        Header {
            len: ARENA_LEN + 1,
            ..arena
        },
        Header {
            offset: ARENA_LEN,
            len: 1,
            ..arena
        },
        Header {
            offset: u32::MAX,
            len: 2,
            ..arena
        },
        Header {
            offset: 1,
            len: u32::MAX,
            ..arena
        },
        Header {
            reply_offset: ARENA_LEN - 3,
            reply_len: 4,
            ..arena
        },
        Header {
            reply_offset: u32::MAX,
            reply_len: 1,
            ..arena
        },
        Header {
            len: (16 << 20) + 1,
            ..arena
        },
        // A pulse of the system: 0xe0 is UNBLOCK.
        Header {
            kind: 2,
            slot: 0xe0,
            ..HONEST
        },
        Header {
            kind: 2,
            slot: 256,
            ..HONEST
        },
    ];
    for header in malformed {
        must_be_cut(&server, |client| client.post(&header, b"hello"));
    }
}

#[test]
fn a_slot_posted_twice_is_blamed_on_its_client() {
    let server = Server::start();
    let before = server.faults();
    // Both entries stand before the first is seen, so that the slot is still busy at the second.
    let mut client = Client::attach(server.chid());
    let first = client.entry();
    client.post(&HONEST, b"hello");
    client.region.write_u32(first, 0);
    client.post(&HONEST, b"again");
    client.region.write_u32(first, 1);
    server.must_serve();
    client.control.until_hung_up();
    assert!(server.faults() > before);
}

#[test]
fn a_ring_that_is_always_full_does_not_hold_the_server() {
    let server = Server::start();
    let honest = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    let mut client = Client::attach(server.chid());
    // Good pulses, of low priority, in every entry; the attacker keeps their sequence words ahead of the
    // server, so that it could take entries for ever.
    let pulse = Header {
        kind: 2,
        priority: 1,
        slot: 5,
        ..HONEST
    };
    for _ in 0..2 * SLOTS {
        client.post(&pulse, b"");
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let head = client.region.read_u32(HEAD);
                for ahead in 0..2 * SLOTS {
                    let position = head.wrapping_add(ahead);
                    let entry = Client::entry_at(position);
                    client.region.write_u32(entry, position.wrapping_add(1));
                }
            }
        });
        for round in 0..100 {
            must_echo(&honest, round);
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(client);
    server.must_serve();
}
