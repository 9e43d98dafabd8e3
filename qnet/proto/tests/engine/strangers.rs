//! Frames that nobody sound sends: malformed ones, junk, and strangers who begin and never go on.

use crate::pair::{MS, Pair, mac};
use qnet_proto::limits::{
    FRAME_LEN_MAX, MTU_MAX, PEERS_MAX, REPLIES_PER_FRAME_MAX, RESET_INTERVAL_NS, RESETS_BURST,
    SEEN_WINDOW,
};
use qnet_proto::wire::{
    Connect, Frame, FrameBuilder, Handshake, Header, Hello, MessageHead, Record, RecordType,
    RepliesRecord, VERSION,
};
use qnet_proto::{ConnectInfo, DropReason, Event, LinkId, Mac, NodeName, Time};

#[test]
fn malformed_frames_are_counted_by_reason() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"a sound frame");
    let sound = pair.sent[0].1.clone();
    let mut damage = |reason: DropReason, change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = sound.clone();
        change(&mut frame);
        pair.deliver(1, &frame);
        assert_eq!(pair.nodes[1].engine.dropped(reason), 1, "{reason:?}");
    };
    damage(DropReason::Short, &|frame| frame.truncate(30));
    damage(DropReason::EtherType, &|frame| frame[12] = 8);
    damage(DropReason::Version, &|frame| frame[14] = VERSION - 1);
    damage(DropReason::Reserved, &|frame| frame[15] |= 0x80);
    damage(DropReason::Length, &|frame| frame[16] = 0xff);
    damage(DropReason::NotForUs, &|frame| frame[5] = 99);
    damage(DropReason::UnknownSession, &|frame| frame[28] ^= 1);
    damage(DropReason::Direction, &|frame| frame[15] ^= 1);
    damage(DropReason::Repeated, &|_| {});
    // New, but from where its sender was never heard.
    damage(DropReason::Address, &|frame| {
        (frame[11], frame[25]) = (99, 77)
    });
    damage(DropReason::FalseAck, &|frame| {
        (frame[25], frame[34]) = (77, 1)
    });
}

/// Node 0 gets a frame from node 1 with one record for each of these runs of calls.
fn replies(pair: &mut Pair, runs: &[(u64, u32)]) {
    let (_, sample) = pair.sent.iter().rfind(|(from, _)| *from == 1).expect("one");
    let sample = Frame::parse(sample, 0x88b5, false).expect("sound").header;
    let header = Header {
        packet: sample.packet + 1,
        ..sample
    };
    let mut buffer = vec![0; FRAME_LEN_MAX];
    let mut frame = FrameBuilder::new(&mut buffer, MTU_MAX);
    for &(call, count) in runs {
        let record = RepliesRecord { call, count };
        record.emit(&mut frame).expect("room");
    }
    let len = frame.finish(mac(1), mac(0), 0x88b5, &header);
    pair.sent.push((1, buffer[..len].to_vec()));
    pair.deliver(0, &buffer[..len]);
}

#[test]
fn a_frame_answers_no_more_calls_than_there_can_be() {
    let (mut pair, conn) = Pair::connected(1500);
    for _ in 0..16 {
        pair.call(conn, b"answered");
    }
    pair.echoes = false;
    let open = pair.send(conn, b"waits");
    pair.run(MS, |_| false);
    let violations = |pair: &Pair| pair.nodes[0].engine.dropped(DropReason::Violation);
    // The first call was that of the connected pair: 17 are answered, and the number of the one that waits is 17.
    replies(&mut pair, &[(17, 2)]);
    assert_eq!(violations(&pair), 1, "one of them was never made");
    let mut runs = vec![(0, 16); REPLIES_PER_FRAME_MAX / 16];
    runs.push((17, 1));
    replies(&mut pair, &runs);
    assert_eq!(violations(&pair), 2, "the last of them is one too many");
    assert_eq!(pair.outcome(open), None);
    runs.remove(0);
    replies(&mut pair, &runs);
    assert_eq!(violations(&pair), 2);
    assert!(matches!(pair.outcome(open), Some(Event::Replied { .. })));
}

#[test]
fn of_a_run_only_what_is_new_and_within_the_window_is_taken() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"the connect is known to have arrived");
    pair.echoes = false;
    let arrived = |pair: &Pair| {
        let events = pair.nodes[1].events.iter();
        events
            .filter(|event| matches!(event, Event::MessageArrived { .. }))
            .count()
    };
    let (_, sample) = pair.sent.iter().rfind(|(from, _)| *from == 0).expect("one");
    let sample = Frame::parse(sample, 0x88b5, false).expect("sound").header;
    let mut packet = sample.packet;
    let mut run = |first: u64, conn: u64, count: usize| {
        packet += 1;
        let header = Header { packet, ..sample };
        let head = MessageHead {
            call: first,
            conn,
            len: 4,
            reply_len: 0,
            tid: 1,
            priority: 10,
            reports: false,
            pulses: 0,
        };
        let mut buffer = vec![0; FRAME_LEN_MAX];
        let mut frame = FrameBuilder::new(&mut buffer, MTU_MAX);
        let bytes = head.emit_run(&mut frame, count).expect("room");
        bytes.fill(7);
        let len = frame.finish(mac(0), mac(1), 0x88b5, &header);
        pair.deliver(1, &buffer[..len]);
        let early = pair.nodes[1].engine.dropped(DropReason::Early);
        (arrived(&pair), early)
    };
    // Calls 0 and 1 were made before, and the first was forgotten.
    assert_eq!(run(0, 0, 10), (1 + 8, 0), "two of them are repetitions");
    assert_eq!(run(5, 0, 10), (1 + 13, 0), "five of them are");
    assert_eq!(
        run(15, 9, 10),
        (1 + 13, 1),
        "of a connection that is not known"
    );
    let window = SEEN_WINDOW as u64;
    assert_eq!(
        run(15 + window - 2, 0, 10),
        (1 + 15, 2),
        "two are within it"
    );
}

#[test]
fn a_million_junk_frames_leave_nothing_behind() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"something to imitate");
    let sound = pair.sent[0].1.clone();
    let before = pair.nodes[1].engine.load();
    let mut state = 1u64;
    let mut buffer = vec![0; 2048];
    for count in 0..1_000_000u64 {
        let mut frame = sound.clone();
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = 14 + (state >> 33) as usize % (frame.len() - 14);
            frame[at] = (state >> 24) as u8;
        }
        // A stranger each time.
        frame[6..12].copy_from_slice(&[
            2,
            1,
            (count >> 24) as u8,
            (count >> 16) as u8,
            (count >> 8) as u8,
            count as u8,
        ]);
        frame[22..30].copy_from_slice(&state.to_be_bytes());
        let node = &mut pair.nodes[1];
        node.engine
            .handle_frame(Time(pair.now.0 + count), LinkId(0), &frame, &mut node.bytes);
        if count % 100 == 0 {
            while node
                .engine
                .poll_transmit(pair.now, &mut buffer, &node.bytes)
                .is_some()
            {}
        }
    }
    assert_eq!(pair.nodes[1].engine.load(), before);
    assert_eq!(
        pair.nodes[1].engine.nodes().count(),
        1,
        "no stranger got a place"
    );
}

#[test]
fn frames_of_unknown_sessions_are_answered_as_far_as_the_allowance_goes() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.call(conn, b"something to imitate");
    let mut stray = pair.sent[0].1.clone();
    stray[28] ^= 1;
    let before = pair.sent.len();
    for _ in 0..5_000 {
        pair.deliver(1, &stray);
    }
    let answers = |pair: &Pair| pair.sent.len() - before;
    assert_eq!(answers(&pair), RESETS_BURST as usize);
    assert_eq!(
        pair.nodes[1].engine.dropped(DropReason::UnknownSession),
        5_000
    );
    pair.now = pair.now.after(10 * RESET_INTERVAL_NS);
    for _ in 0..5_000 {
        pair.deliver(1, &stray);
    }
    assert_eq!(answers(&pair), RESETS_BURST as usize + 10);
}

#[test]
fn handshakes_that_strangers_begin_leave_nothing_behind() {
    let mut pair = Pair::new(1500);
    for stranger in 0..20_000 {
        let node = &mut pair.nodes[1];
        node.engine
            .handle_frame(pair.now, LinkId(0), &init_of(stranger), &mut node.bytes);
    }
    let engine = &mut pair.nodes[1].engine;
    assert_eq!(engine.nodes().count(), 0);
    assert_eq!(engine.poll_timeout(), None);
    let mut buffer = [0; 1514];
    let mut answers = 0;
    while engine
        .poll_transmit(pair.now, &mut buffer, &pair.nodes[1].bytes)
        .is_some()
    {
        answers += 1;
    }
    assert!(answers <= 256, "what waits to be sent is bounded");
}

#[test]
fn a_confirm_without_its_cookie_is_refused() {
    let mut pair = Pair::new(1500);
    let mut frame = init_of(7);
    // The same content as a Confirm of the session it would make.
    frame[46] = RecordType::Confirm as u8;
    frame[26..34].copy_from_slice(&(8u64 << 32).to_be_bytes());
    pair.deliver(1, &frame);
    assert_eq!(pair.nodes[1].engine.dropped(DropReason::Cookie), 1);
    assert_eq!(pair.nodes[1].engine.nodes().count(), 0);
}

#[test]
fn announcements_of_strangers_take_a_bounded_number_of_places() {
    let mut pair = Pair::new(1500);
    let friend = pair.peer();
    for stranger in 0..3_000 {
        let mut frame = init_of(stranger);
        frame[46] = RecordType::Announce as u8;
        frame.truncate(50 + 88);
        frame[48..50].copy_from_slice(&88u16.to_be_bytes());
        let len = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        frame[..6].copy_from_slice(&mac(0).0);
        pair.deliver(0, &frame);
    }
    let engine = &pair.nodes[0].engine;
    assert_eq!(engine.nodes().count(), PEERS_MAX);
    assert!(
        engine.nodes().any(|node| node.peer == friend),
        "what is in use keeps its place"
    );
}

/// A stranger goes through the whole of a handshake with node 1, and opens a connection if told to.
fn befriend(pair: &mut Pair, stranger: u32, connects: bool) {
    pair.deliver(1, &init_of(stranger));
    let (_, answer) = pair.sent.last().expect("an answer");
    let answer = Frame::parse(answer, 0x88b5, false).expect("sound");
    let Some(Ok(Record::InitAck(ack))) = answer.records().next() else {
        panic!("not answered");
    };
    let confirm = Handshake {
        hello: hello_of(stranger),
        other_epoch: ack.hello.epoch,
        ..ack
    };
    let mut header = Header {
        session: confirm.session(),
        ..Header::default()
    };
    let frame = frame_of(stranger, &header, |frame| {
        confirm.emit(frame, RecordType::Confirm).expect("room");
    });
    pair.deliver(1, &frame);
    header.packet = 1;
    let head = MessageHead {
        call: 0,
        conn: 0,
        len: 1,
        reply_len: 0,
        tid: 1,
        priority: 10,
        reports: false,
        pulses: 0,
    };
    let connect = Connect {
        info: ConnectInfo::default(),
        revision: 0,
        answers_back: false,
    };
    if connects {
        let frame = frame_of(stranger, &header, |frame| {
            head.emit(frame, Some(&connect), 1).expect("room");
        });
        pair.deliver(1, &frame);
    }
}

#[test]
fn strangers_with_sessions_that_nobody_uses_keep_no_newcomer_out() {
    let mut pair = Pair::new(1500);
    for stranger in 0..PEERS_MAX as u32 + 10 {
        befriend(&mut pair, stranger, false);
    }
    let full = |pair: &Pair| pair.nodes[1].engine.dropped(DropReason::Full);
    assert_eq!(pair.nodes[1].engine.nodes().count(), PEERS_MAX);
    assert_eq!(full(&pair), 0);
    let conn = pair.connect();
    let call = pair.call(conn, b"there is room");
    assert!(matches!(pair.outcome(call), Some(Event::Replied { .. })));
}

#[test]
fn whom_somebody_here_asks_for_has_a_place_whoever_else_came() {
    let mut pair = Pair::new(1500);
    pair.echoes = false;
    for stranger in 0..PEERS_MAX as u32 {
        befriend(&mut pair, stranger, true);
    }
    assert_eq!(pair.nodes[1].engine.load().inbound_conns, PEERS_MAX);
    // Another stranger finds no place: all are used.
    let full = |pair: &Pair| pair.nodes[1].engine.dropped(DropReason::Full);
    befriend(&mut pair, PEERS_MAX as u32, false);
    assert_eq!(full(&pair), 1);
    let name = NodeName::new("left").expect("legal");
    let now = pair.now;
    pair.nodes[1].engine.resolve(now, name).expect("room");
    pair.run(100 * MS, |_| false);
    let events = &pair.nodes[1].events;
    let is_resolved =
        |event: &Event| matches!(event, Event::Resolved { name: its, .. } if *its == name);
    assert!(events.iter().any(is_resolved));
    let ended = |event: &&Event| matches!(event, Event::Detached { .. });
    assert_eq!(events.iter().filter(ended).count(), 1);
}

fn hello_of(stranger: u32) -> Hello {
    let name = NodeName::new(&format!("stranger-{stranger}")).unwrap();
    Hello {
        epoch: 1,
        receive_window: 1 << 20,
        ack_delay_us: 1000,
        mtu: 1500,
        station: Mac([2, 0, 0, 0, 0, 9]),
        name,
    }
}

/// A frame from a stranger to node 1.
fn frame_of(stranger: u32, header: &Header, write: impl FnOnce(&mut FrameBuilder<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 1514];
    let mut frame = FrameBuilder::new(&mut buffer, 1500);
    write(&mut frame);
    let [a, b, c, d] = stranger.to_be_bytes();
    let len = frame.finish(Mac([2, 9, a, b, c, d]), mac(1), 0x88b5, header);
    buffer.truncate(len);
    buffer
}

/// The frame of an Init from a stranger with this number.
fn init_of(stranger: u32) -> Vec<u8> {
    let init = Handshake {
        hello: hello_of(stranger),
        initiator_nonce: stranger + 1,
        responder_nonce: 0,
        other_epoch: 0,
        stamp: 0,
        cookie: [0; 16],
    };
    frame_of(stranger, &Header::default(), |frame| {
        init.emit(frame, RecordType::Init).unwrap();
    })
}
