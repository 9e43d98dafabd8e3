//! Frames are lost, doubled, and come too early.

use std::cell::Cell;
use std::rc::Rc;

use crate::clerk::VERB_LEN;
use crate::client::Outcome;
use crate::frame::Frame;
use crate::node::Losing;
use crate::record::Record;
use crate::talk::{
    LONG_LEN, PEER, begin, call, connect_to_clerk, echo, end, lab_with_a_stranger, run, stranger,
    ticks,
};

// covers: NET-4
#[test]
fn losses_and_doubles_are_made_good() {
    let Some(lab) = lab_with_a_stranger(&[]) else {
        return;
    };
    run(&lab, "losing::part_losses");
}

#[test]
#[ignore = "run by the tests here as the stranger"]
fn part_losses() {
    let mut node = stranger();
    node.is_doubling = true;
    node.connect(PEER);
    let clerk = connect_to_clerk(&mut node);
    println!("every frame twice");
    for len in [1, LONG_LEN] {
        echo(&mut node, clerk, len);
    }
    for _ in 0..10 {
        call(&mut node, clerk, b"tick", 0);
    }
    assert_eq!(ticks(&mut node, clerk), 10);
    node.is_doubling = false;

    println!("every seventh frame of either side");
    let lost = Rc::new(Cell::new(0));
    node.lose_received = losing(7, &lost);
    node.lose_sent = losing(7, &lost);
    for len in [LONG_LEN, 20, LONG_LEN, LONG_LEN] {
        echo(&mut node, clerk, len);
    }
    for _ in 0..30 {
        call(&mut node, clerk, b"tick", 0);
    }
    assert_eq!(ticks(&mut node, clerk), 40);
    assert!(lost.get() > 100, "{} frames lost", lost.get());

    println!("a reply that is lost, and a message sent again in another packet");
    let replies = Rc::new(Cell::new(0));
    let counted = Rc::clone(&replies);
    node.lose_sent = Box::new(|_| false);
    node.lose_received = Box::new(move |frame| {
        let answers = |record: &Record| {
            matches!(
                record,
                Record::Reply { .. } | Record::Replies { .. } | Record::Error { .. }
            )
        };
        let has = frame.records.iter().any(answers);
        counted.set(counted.get() + u32::from(has));
        has && counted.get() == 1
    });
    call(&mut node, clerk, b"tick", 0);
    assert!(replies.get() > 1, "the reply comes again in another packet");
    let number = begin(&mut node, clerk, b"tick", 0);
    end(&mut node, number);
    let again = Record::Message {
        call: number,
        conn: clerk,
        len: VERB_LEN as u32,
        reply_len: 0,
        tid: 1,
        priority: 10,
        reports: false,
        pulses: 0,
        connect: None,
        bytes: b"tick".to_vec(),
    };
    node.session().push(again);
    assert_eq!(ticks(&mut node, clerk), 42);

    println!("fragments ahead of their message");
    let (packets, session) = (node.session().capacity(), node.session());
    let mut records = Vec::new();
    let early = session.client.call(
        clerk,
        &[b"echo", [9; 4000].as_slice()].concat(),
        4004,
        packets,
        &mut records,
    );
    records.reverse();
    session.extend(records);
    let Outcome::Reply { buffer, .. } = end(&mut node, early) else {
        panic!("a reply")
    };
    assert!(buffer[4..].iter().all(|byte| *byte == !9));

    println!("a record of another type, which is passed over");
    node.session().push(Record::Unknown(200, vec![1, 2, 3]));
    echo(&mut node, clerk, 10);
    node.leave();
}

/// Loses every so many-th frame of a session.
fn losing(every: u32, lost: &Rc<Cell<u32>>) -> Losing {
    let (mut count, lost) = (0, Rc::clone(lost));
    Box::new(move |frame: &Frame| {
        count += u32::from(frame.session != 0);
        let is_lost = frame.session != 0 && count % every == 0;
        lost.set(lost.get() + u32::from(is_lost));
        is_lost
    })
}
