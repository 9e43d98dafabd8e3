//! What ends costs what it had open, whatever others have.

use super::pair::{MS, Pair};
use super::slab::visits;
use crate::{ConnectInfo, Errno, Event, InboundConn, LinkId, Mac, NodeName, OutboundConn};

/// Connections beside the one that ends, and calls that are open on each.
const OTHERS: usize = 100;
const CALLS: usize = 100;

/// Looks at slots that the end of one call may cost, and the end of what it belongs to.
const LOOKS: usize = 40;

/// A pair with calls to a server that answers nothing, and one connection more with as many as asked for.
fn crowded(calls: usize) -> (Pair, OutboundConn) {
    let (mut pair, _) = Pair::connected(9000);
    pair.echoes = false;
    for _ in 0..OTHERS {
        let conn = pair.connect();
        for _ in 0..CALLS {
            pair.send(conn, b"waits");
        }
    }
    let conn = pair.connect();
    for _ in 0..calls {
        pair.send(conn, b"its own");
    }
    pair.run(1_000 * MS, |pair| {
        pair.nodes[1].engine.load().inbound_calls == OTHERS * CALLS + calls
    });
    assert_eq!(open(&pair), [OTHERS * CALLS + calls; 2]);
    (pair, conn)
}

/// Calls that are open at both nodes.
fn open(pair: &Pair) -> [usize; 2] {
    let [left, right] = &pair.nodes;
    [
        left.engine.load().outbound_calls,
        right.engine.load().inbound_calls,
    ]
}

/// The connection that was heard of last.
fn last_attached(events: &[Event]) -> InboundConn {
    let attached = events.iter().rev().find_map(|event| match event {
        Event::Attach { conn, .. } => Some(*conn),
        _ => None,
    });
    attached.expect("somebody attached")
}

#[test]
fn a_client_that_goes_costs_the_calls_it_has_open() {
    for calls in [0, 1, 50] {
        let (mut pair, conn) = crowded(calls);
        let now = pair.now;
        let engine = &mut pair.nodes[0].engine;
        assert_eq!(engine.calls_of(conn).count(), calls);
        let looks = visits::while_doing(|| engine.detach(now, conn).expect("it is live"));
        assert!(looks <= (calls + 1) * LOOKS, "{looks} looks for {calls}");
        pair.settle();
        assert_eq!(open(&pair), [OTHERS * CALLS; 2]);
    }
}

#[test]
fn a_server_that_goes_costs_the_calls_it_has_not_answered() {
    for calls in [1, 50] {
        let (mut pair, conn) = crowded(calls);
        let now = pair.now;
        let right = &mut pair.nodes[1];
        let inbound = last_attached(&right.events);
        let engine = &mut right.engine;
        let looks = visits::while_doing(|| {
            let closed = engine.close(now, inbound, Errno::ESRCH);
            closed.expect("it is live");
        });
        assert!(looks <= (calls + 1) * LOOKS, "{looks} looks for {calls}");
        pair.settle();
        assert_eq!(pair.nodes[0].engine.calls_of(conn).count(), 0);
        assert_eq!(open(&pair), [OTHERS * CALLS; 2]);
    }
}

#[test]
fn a_node_that_goes_costs_what_there_is_with_it() {
    let (mut pair, _) = crowded(0);
    let now = pair.now;
    let engine = &mut pair.nodes[0].engine;
    let (name, mac) = (
        NodeName::new("third").expect("legal"),
        Mac([2, 0, 0, 0, 0, 9]),
    );
    let third = engine.add_host(name, LinkId(0), mac).expect("room");
    let conns = [(); 10].map(|()| engine.connect(third, ConnectInfo::default()));
    for conn in conns {
        let conn = conn.expect("a known peer");
        pair.send(conn, b"never arrives");
    }
    let engine = &mut pair.nodes[0].engine;
    assert_eq!(engine.load().outbound_calls, OTHERS * CALLS + 10);
    let looks = visits::while_doing(|| engine.forget(now, third).expect("it is known"));
    assert!(looks <= 10 * LOOKS, "{looks} looks");
    pair.settle();
    assert_eq!(open(&pair), [OTHERS * CALLS; 2]);
}
