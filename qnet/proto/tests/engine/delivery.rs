//! Bytes and pulses across a cable that loses and repeats frames: all of them, once, in order.

use crate::pair::{MS, Pair, mac};
use qnet_proto::wire::{Fragment, Frame, FrameBuilder, Header, RecordType};
use qnet_proto::{DropReason, Event, LinkId, Pulse};

#[test]
fn frames_that_came_twice_are_taken_once() {
    let (mut pair, conn) = Pair::connected(1500);
    let accepted = pair.nodes[1].bytes.accepted;
    pair.call(conn, b"once");
    for (from, frame) in pair.sent.clone() {
        pair.deliver(1 - from, &frame);
    }
    assert_eq!(pair.nodes[1].bytes.accepted, accepted + 1);
    assert_eq!(pair.nodes[1].engine.dropped(DropReason::Repeated), 1);
    assert_eq!(pair.nodes[0].engine.dropped(DropReason::Repeated), 1);
}

// covers: NET-3, NET-4
#[test]
fn sixteen_mebibytes_get_through_at_five_percent_loss() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.loses = |frame| {
        frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff_ffff < u64::from(u32::MAX) / 20
    };
    let message: Vec<u8> = (0..16u32 << 20)
        .map(|at| (at ^ at >> 8 ^ at >> 16) as u8)
        .collect();
    let call = pair.call(conn, &message);
    assert!(
        matches!(pair.outcome(call), Some(Event::Replied { len, .. }) if len as usize == message.len())
    );
    assert!(pair.nodes[0].bytes.replies[&call] == message);
}

// covers: NET-4
#[test]
fn a_head_that_is_lost_twice_is_sent_again_before_what_came_in_vain_without_it() {
    let (mut pair, conn) = Pair::connected(1500);
    let message: Vec<u8> = (0..200_000_u32).map(|at| (at ^ at >> 8) as u8).collect();
    // The head is lost, and all that follows cannot be taken without it.
    pair.loses = |frame| frame == 1;
    let call = pair.send(conn, &message);
    pair.run(MS / 2, |_| false);
    let begun = pair.sent.len();
    assert!(pair.nodes[1].engine.dropped(DropReason::Early) > 100);
    // So is what is sent when no answer comes.
    pair.cut.push(LinkId(0));
    pair.run(100 * MS, |pair| pair.sent.len() > begun);
    pair.run(MS / 10, |_| false);
    assert_eq!(pair.outcome(call), None);
    pair.cut.clear();
    pair.run(200 * MS, |pair| pair.outcome(call).is_some());
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
    assert!(pair.nodes[0].bytes.replies[&call] == message);
}

// covers: NET-5
#[test]
fn who_cannot_take_a_packet_still_answers_the_question_in_it() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.loses = |frame| frame == 1;
    pair.send(conn, &vec![7; 200_000]);
    pair.run(MS / 2, |_| false);
    let answers = |pair: &Pair| pair.sent.iter().filter(|(from, _)| *from == 1).count();
    let early = |pair: &Pair| pair.nodes[1].engine.dropped(DropReason::Early);
    let (answered, refused) = (answers(&pair), early(&pair));
    // A fragment whose head is not there, by itself and beside a question.
    let (_, sample) = pair.sent.iter().rfind(|(from, _)| *from == 0).expect("one");
    let sample = Frame::parse(sample, 0x88b5, false).expect("sound").header;
    for (packet, asks) in [(sample.packet + 1, false), (sample.packet + 2, true)] {
        let header = Header { packet, ..sample };
        let mut buffer = vec![0; 1514];
        let mut frame = FrameBuilder::new(&mut buffer, 1500);
        if asks {
            frame.mark(RecordType::Ping).expect("room");
        }
        let kind = RecordType::MessageFragment;
        Fragment::emit(&mut frame, kind, 1, 100_000, 8).expect("room");
        let len = frame.finish(mac(0), mac(1), 0x88b5, &header);
        pair.deliver(1, &buffer[..len]);
        assert_eq!(answers(&pair), answered + usize::from(asks));
    }
    assert_eq!(early(&pair), refused + 2);
}

#[test]
fn pulses_keep_their_order_though_frames_are_lost() {
    let (mut pair, conn) = Pair::connected(576);
    pair.loses = |frame| frame % 3 == 0;
    for value in 0..500 {
        let pulse = Pulse {
            code: 5,
            priority: 10,
            value,
        };
        pair.nodes[0]
            .engine
            .pulse_server(pair.now, conn, pulse)
            .unwrap();
        pair.run(MS / 50, |_| false);
    }
    pair.run(3_000 * MS, |_| false);
    let value = |event: &Event| match event {
        Event::ServerPulse { pulse, .. } => Some(pulse.value),
        _ => None,
    };
    let taken: Vec<i64> = pair.nodes[1].events.iter().filter_map(value).collect();
    assert_eq!(taken, (0..500).collect::<Vec<_>>());
}

// covers: RCV-1
#[test]
fn a_message_says_how_many_pulses_go_before_it_while_one_may_be_missing() {
    let (mut pair, conn) = Pair::connected(1500);
    // The first frame has the pulses, and is lost.
    pair.loses = |frame| frame == 1;
    let pulse = |value| Pulse {
        code: 5,
        priority: 10,
        value,
    };
    for value in 0..2 {
        let engine = &mut pair.nodes[0].engine;
        engine.pulse_server(pair.now, conn, pulse(value)).unwrap();
    }
    pair.pump(0);
    pair.call(conn, b"after them");
    let (_, pulses, _) = *pair.nodes[1].bytes.said.last().expect("it came");
    assert_eq!(pulses, 2);
    pair.settle();
    pair.call(conn, b"they are there");
    let (_, pulses, _) = *pair.nodes[1].bytes.said.last().expect("it came");
    assert_eq!(pulses, 0);
    // Also runs carry no such number.
    let engine = &mut pair.nodes[0].engine;
    engine.pulse_server(pair.now, conn, pulse(2)).unwrap();
    let calls = [b"one", b"two"].map(|message| pair.send(conn, message));
    pair.run(100 * MS, |pair| pair.outcome(calls[1]).is_some());
    let said = pair.nodes[1].bytes.said.iter().rev().take(2);
    assert_eq!(said.map(|said| said.1).collect::<Vec<_>>(), [3, 3]);
}

// covers: TMO-1
#[test]
fn of_its_receipt_is_told_once_who_asks_though_frames_are_lost() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.echoes = false;
    // The second frame brings the news.
    pair.loses = |frame| frame == 2;
    let told = |pair: &Pair| {
        let events = pair.nodes[0].events.iter();
        let calls = events.filter_map(|event| match event {
            Event::Received { call } => Some(*call),
            _ => None,
        });
        calls.collect::<Vec<_>>()
    };
    let asking = pair.send_as(conn, b"asking", true);
    pair.run(MS / 10, |_| false);
    let (inbound, _, reports) = *pair.nodes[1].bytes.said.last().expect("it came");
    assert!(reports);
    assert_eq!(told(&pair), []);
    for _ in 0..2 {
        pair.nodes[1].engine.received(pair.now, inbound);
    }
    pair.settle();
    assert_eq!(told(&pair), [asking]);
    pair.echo(1, inbound);
    pair.nodes[1].engine.received(pair.now, inbound);
    pair.settle();
    assert!(matches!(pair.outcome(asking), Some(Event::Replied { .. })));
    // Who does not ask, and whose answer is as quick, is not told.
    for reports in [false, true] {
        let call = pair.send_as(conn, b"quick", reports);
        pair.run(MS / 10, |_| false);
        let (inbound, ..) = *pair.nodes[1].bytes.said.last().expect("it came");
        if reports {
            pair.echo(1, inbound);
        }
        pair.nodes[1].engine.received(pair.now, inbound);
        if !reports {
            pair.echo(1, inbound);
        }
        pair.settle();
        assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
    }
    assert_eq!(told(&pair), [asking]);
    assert_eq!(pair.nodes[0].engine.dropped(DropReason::Violation), 0);
}
