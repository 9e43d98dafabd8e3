//! `kill -9` at every failpoint, of a client or of a server, whichever comes by: the other side gets its errno, and
//! nothing is left over.

mod ahead;
#[path = "../semantics/child.rs"]
#[allow(dead_code, reason = "shared with the tests of semantics")]
mod child;
#[path = "../kills/leftovers.rs"]
mod leftovers;
mod peers;
#[path = "../serving/mod.rs"]
mod serving;
mod side;

use ipc_core::{
    Connection,
    abi::{Chid, Nd},
    sys::failpoint::Failpoint,
};

use crate::{
    child::Child,
    leftovers::{Holdings, names_of_the_dead},
    peers::Server,
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
    let survivors = Survivors {
        server: Server::start(),
        ahead: ahead::Server::start(),
    };
    survivors.must_serve();
    let before = Holdings::now();
    for failpoint in Failpoint::ALL {
        let dies = |side: &Side| dies_as(*side, *failpoint, &survivors);
        let died: Vec<Side> = Side::ALL.into_iter().filter(dies).collect();
        assert!(
            !died.is_empty(),
            "{failpoint:?}: nobody passes it; tests/failpoints must, or it has to go"
        );
        let passed_ahead = died.iter().any(|side| side.is_ahead());
        assert!(
            passed_ahead || !ahead::PASSED_TOO.contains(failpoint),
            "{failpoint:?}: not passed with many messages in flight"
        );
        before.must_come_back();
    }
}

/// Servers of the process that goes on, and their client.
struct Survivors {
    server: Server,
    ahead: ahead::Server,
}

impl Survivors {
    fn must_serve(&self) {
        self.server.must_serve();
        self.ahead.must_serve();
    }

    /// Whom a client of that kind uses.
    fn chid_for(&self, side: Side) -> Chid {
        match side.is_ahead() {
            false => self.server.chid(),
            true => self.ahead.chid(),
        }
    }
}

/// Runs a process that dies at the failpoint, if that side passes it; answers whether it did.
fn dies_as(side: Side, failpoint: Failpoint, survivors: &Survivors) -> bool {
    let mut mortal = side.start(failpoint, survivors.chid_for(side));
    match side {
        Side::Server => peers::use_until_it_dies(&mut mortal),
        Side::ServerAhead => ahead::use_until_it_dies(&mut mortal),
        Side::Client | Side::ClientAhead => {}
    }
    let name = format!("{}.sock", mortal.pid());
    let died = mortal.was_killed();
    // The next one is served, and needs no cleaning up by hand.
    survivors.must_serve();
    if died && side.is_server() {
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
