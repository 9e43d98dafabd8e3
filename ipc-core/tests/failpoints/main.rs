//! `kill -9` at every failpoint, of a client or of a server, whichever comes by: the other side gets its errno, and
//! nothing is left over.

#[path = "../semantics/child.rs"]
#[allow(dead_code, reason = "shared with the tests of semantics")]
mod child;
#[path = "../kills/leftovers.rs"]
mod leftovers;
mod peers;
#[path = "../serving/mod.rs"]
mod serving;
mod side;

use ipc_core::{Connection, abi::Nd, sys::failpoint::Failpoint};

use crate::{
    child::Child,
    leftovers::{Holdings, names_of_the_dead},
    peers::{Server, use_until_it_dies},
    side::Side,
};

// covers: DTH-1, DTH-2
#[test]
fn death_at_any_failpoint_is_noticed_and_leaves_nothing() {
    Child::start("inside_a_survivor", "").end();
}

#[test]
#[ignore = "run by death_at_any_failpoint_is_noticed_and_leaves_nothing in a process of its own"]
fn inside_a_survivor() {
    let server = Server::start();
    server.must_serve();
    let before = Holdings::now();
    for failpoint in Failpoint::ALL {
        let sides = [Side::Client, Side::Server];
        let died = sides.map(|side| dies_as(side, *failpoint, &server));
        assert!(
            died.contains(&true),
            "{failpoint:?}: nobody passes it; tests/failpoints/peers.rs must, or it has to go"
        );
        before.must_come_back();
    }
}

/// Runs a process that dies at the failpoint, if that side passes it; answers whether it did.
fn dies_as(side: Side, failpoint: Failpoint, server: &Server) -> bool {
    let mut mortal = side.start(failpoint, server.chid());
    if side == Side::Server {
        use_until_it_dies(&mut mortal);
    }
    let name = format!("{}.sock", mortal.pid());
    let died = mortal.was_killed();
    // The next one is served, and needs no cleaning up by hand.
    server.must_serve();
    if died && side == Side::Server {
        let mut next = Child::start("peers::inside_a_next_server", "");
        let chid = next.said_chid();
        let connection = Connection::attach(Nd::LOCAL, next.pid(), chid);
        connection
            .expect("it is found")
            .send(b"hello", &mut [])
            .expect("it is served");
        assert!(!names_of_the_dead().contains(&name), "{failpoint:?}");
        next.end();
    }
    died
}
