//! The stranger calls a real server.

use crate::client::{Outcome, ToClient, cancel};
use crate::record::{CancelKind, Record};
use crate::talk::{
    CLIENT_PID, COID, GID, LONG_LEN, PEER, SRCND, UID, begin, call, connect_to, connect_to_clerk,
    echo, end, lab_with_a_stranger, pulses, pulses_to, run, stranger, ticks,
};

const EROFS: u16 = 30;
const EINTR: u16 = 4;
const ETIMEDOUT: u16 = 110;
const ESRCH: u16 = 3;
const EVENT: i8 = -39;
const PULSES_TAKEN: i8 = -38;
const EVENTS_TAKEN: i8 = -37;

// covers: NET-2, NET-3, NET-6, NET-7
#[test]
fn a_stranger_calls_a_server() {
    let Some(lab) = lab_with_a_stranger(&[]) else {
        return;
    };
    run(&lab, "calling::part_calls");
}

#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_calls() {
    let mut node = stranger();
    node.announce();
    node.until("an answer to the announcement", |node| {
        node.heard.get(PEER).map(|_| ())
    });
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);

    println!("who is asked what");
    let outcome = call(&mut node, clerk, b"who?", 28);
    let Outcome::Reply { buffer, .. } = outcome else {
        panic!("{outcome:?}")
    };
    let words: Vec<u32> = buffer
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().expect("four")))
        .collect();
    assert_eq!(words, [CLIENT_PID, 1, COID, 10, UID, GID, SRCND]);

    println!("a small message, one of some frames, and long ones");
    for len in [0, 10, 5000, LONG_LEN, LONG_LEN] {
        echo(&mut node, clerk, len);
    }
    assert!(
        node.session().client.grants > 0,
        "long messages are granted"
    );

    println!("a status alone, an error, a reply with a hole");
    let none = Outcome::Reply {
        status: 0,
        len: 0,
        buffer: vec![0; 4],
    };
    assert_eq!(call(&mut node, clerk, b"tick", 4), none);
    assert_eq!(call(&mut node, clerk, b"fail", 4), Outcome::Error(EROFS));
    let hole = call(&mut node, clerk, b"hole", 16);
    let buffer = b"front\0\0\0behind\0\0".to_vec();
    assert_eq!(
        hole,
        Outcome::Reply {
            status: 7,
            len: 14,
            buffer
        }
    );

    println!("many at a time");
    let calls: Vec<u64> = (0..300)
        .map(|_| begin(&mut node, clerk, b"tick", 0))
        .collect();
    let none = Outcome::Reply {
        status: 0,
        len: 0,
        buffer: Vec::new(),
    };
    for number in calls {
        assert_eq!(end(&mut node, number), none);
    }
    assert_eq!(ticks(&mut node, clerk), 301);

    println!("pulses");
    for value in -2..3 {
        let pulse = node.session().client.pulse(clerk, 7, value);
        node.session().push(pulse);
    }
    assert_eq!(
        pulses(&mut node, clerk),
        (-2..3).map(|value| (7, value)).collect::<Vec<_>>()
    );

    node.until("room for all of them again", |node| {
        let values = pulses_to(node, clerk, PULSES_TAKEN);
        (values.iter().sum::<i64>() == 5).then_some(())
    });

    println!("an event");
    let message = [b"even".as_slice(), &77u64.to_le_bytes()].concat();
    call(&mut node, clerk, &message, 0);
    let event = node.until("the event", |node| pulses_to(node, clerk, EVENT).pop());
    assert_eq!(event, 77);
    let taken = node.session().client.pulse(clerk, EVENTS_TAKEN, 1);
    node.session().push(taken);

    println!("wanting out: answered, withdrawn, abandoned");
    let held = begin(&mut node, clerk, b"hold", 4);
    echo(&mut node, clerk, 1);
    node.session()
        .push(cancel(held, CancelKind::Unblock, EINTR));
    assert_eq!(end(&mut node, held), Outcome::Error(EINTR));
    assert_eq!(pulses(&mut node, clerk), [(-32, 0)]);
    let napping = begin(&mut node, clerk, b"nap!", 0);
    let withdrawn = begin(&mut node, clerk, b"tick", 0);
    node.session()
        .push(cancel(withdrawn, CancelKind::Withdraw, ETIMEDOUT));
    assert_eq!(end(&mut node, withdrawn), Outcome::Error(ETIMEDOUT));
    end(&mut node, napping);
    // One that was received goes on.
    let held = begin(&mut node, clerk, b"hold", 4);
    echo(&mut node, clerk, 1);
    for kind in [CancelKind::Withdraw, CancelKind::Unblock] {
        node.session().push(cancel(held, kind, ETIMEDOUT));
    }
    // What the server says is what the client gets.
    assert_eq!(end(&mut node, held), Outcome::Error(EINTR));
    assert_eq!(pulses(&mut node, clerk), [(-32, 0)]);
    let held = begin(&mut node, clerk, b"hold", 4);
    echo(&mut node, clerk, 1);
    node.session().push(cancel(held, CancelKind::Abandon, 0));
    assert_eq!(ticks(&mut node, clerk), 301);

    println!("who wants to know is told when its message is received");
    node.session().client.wants_receipts = true;
    let held = begin(&mut node, clerk, b"hold", 4);
    node.until("the server's receipt", |node| {
        (node.session().client.received == [held]).then_some(())
    });
    node.session()
        .push(cancel(held, CancelKind::Withdraw, ETIMEDOUT));
    node.session()
        .push(cancel(held, CancelKind::Unblock, ETIMEDOUT));
    assert_eq!(end(&mut node, held), Outcome::Error(EINTR));
    node.session().client.wants_receipts = false;
    let told = pulses(&mut node, clerk);
    assert_eq!(told, [(-32, 0); 2], "of the abandoned one, and of this");
    assert_eq!(node.session().client.received, [held]);

    println!("the end of a connection");
    let other = connect_to_clerk(&mut node);
    node.session().push(Record::Detach {
        conn: clerk,
        errno: 0,
        to_client: false,
    });
    echo(&mut node, other, 1);
    assert_eq!(call(&mut node, clerk, b"tick", 0), Outcome::Error(ESRCH));
    let nowhere = connect_to(&mut node, 1, 99);
    assert_eq!(call(&mut node, nowhere, b"tick", 0), Outcome::Error(ESRCH));
    node.session().push(Record::Detach {
        conn: other,
        errno: 0,
        to_client: false,
    });
    let last = connect_to_clerk(&mut node);
    node.until("DISCONNECT", |node| {
        pulses(node, last).contains(&(-33, 0)).then_some(())
    });

    println!("the end of a server");
    let (_, dying) = (echo(&mut node, last, 1), begin(&mut node, last, b"die!", 0));
    assert_eq!(end(&mut node, dying), Outcome::Error(ESRCH));
    node.until("the server's end", |node| {
        let (conn, errno) = (last, ESRCH);
        let detached = ToClient::Detached { conn, errno };
        node.session()
            .client
            .events
            .contains(&detached)
            .then_some(())
    });
    node.leave();
}
