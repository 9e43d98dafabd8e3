//! A node that has a session and keeps to no rule in it: what it makes its peer keep is bounded all the same.

use crate::pair::{Pair, mac};
use qnet_proto::limits::{
    CALLS_MAX, CONNS_MAX, EAGER_LEN, FRAME_LEN_MAX, MTU_MAX, PLACED_RANGES_MAX,
    PLACED_RANGES_OF_PEER_MAX, PULSES_MAX, RUN_MESSAGES_MAX, SEEN_WINDOW,
};
use qnet_proto::wire::{
    CancelRecord, Connect, Fragment, Frame, FrameBuilder, Header, MessageHead, PulseRecord,
    RecordType, Side,
};
use qnet_proto::{Cancel, ConnectInfo, DropReason, Errno, Event, Pulse};

/// Node 0 turned hostile: it acknowledges nothing any more.
struct Hostile {
    pair: Pair,
    header: Header,
}

impl Hostile {
    fn new() -> Hostile {
        let (mut pair, conn) = Pair::connected(1500);
        pair.call(conn, b"the session is up");
        let (_, sample) = pair.sent.iter().rfind(|(from, _)| *from == 0).expect("one");
        let header = Frame::parse(sample, 0x88b5, false).expect("sound").header;
        pair.nodes[1].events.clear();
        pair.echoes = false;
        Hostile { pair, header }
    }

    /// Sends node 1 a frame of these records.
    fn send(&mut self, write: impl FnOnce(&mut FrameBuilder<'_>)) {
        self.header.packet += 1;
        let mut buffer = vec![0; FRAME_LEN_MAX];
        let mut frame = FrameBuilder::new(&mut buffer, MTU_MAX);
        write(&mut frame);
        let len = frame.finish(mac(0), mac(1), 0x88b5, &self.header);
        self.pair.deliver(1, &buffer[..len]);
        self.pair.sent.clear();
        self.pair.sent_on.clear();
    }

    /// Sends node 1 messages of one byte in one record, which may be kept together.
    fn send_run(&mut self, first: u64, count: usize) {
        self.pair.nodes[1].bytes.takes_runs = true;
        self.send(|frame| emit_run(frame, first, count));
    }

    fn calls_open(&self) -> usize {
        self.pair.nodes[1].engine.load().inbound_calls
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.pair.nodes[1].engine.dropped(reason)
    }
}

/// A pulse through a connection of this number.
fn pulse(conn: u64, sequence: u64) -> PulseRecord {
    let pulse = Pulse {
        code: 1,
        priority: 10,
        value: 0,
    };
    PulseRecord {
        conn,
        sequence,
        to: Side::Server,
        pulse,
    }
}

fn connect() -> Connect {
    Connect {
        info: ConnectInfo {
            server_pid: 7,
            server_chid: 1,
            ..ConnectInfo::default()
        },
        revision: 0,
        answers_back: false,
    }
}

#[test]
fn connections_whose_end_is_never_acknowledged_are_not_opened_without_bound() {
    let mut hostile = Hostile::new();
    let mut attached = 0;
    let mut next = 1;
    while next < 2 * CONNS_MAX as u64 {
        hostile.send(|frame| {
            for conn in next..next + 500 {
                let record = pulse(conn, 0);
                record.emit(frame, Some(&connect())).expect("room");
            }
        });
        next += 500;
        let node = &mut hostile.pair.nodes[1];
        for event in std::mem::take(&mut node.events) {
            if let Event::Attach { conn, .. } = event {
                attached += 1;
                let closed = node.engine.close(hostile.pair.now, conn, Errno::ESRCH);
                closed.expect("it is live");
            }
        }
    }
    // The one that the pair began with is open.
    assert_eq!(attached, CONNS_MAX - 1);
    assert_eq!(
        hostile.dropped(DropReason::Full) as usize + attached,
        next as usize - 1
    );
}

#[test]
fn no_more_pulses_wait_for_those_before_them_than_a_sound_node_has_under_way() {
    let mut hostile = Hostile::new();
    let delivered = |hostile: &Hostile| {
        let events = hostile.pair.nodes[1].events.iter();
        events
            .filter(|event| matches!(event, Event::ServerPulse { .. }))
            .count()
    };
    let most = PULSES_MAX as u64;
    hostile.send(|frame| {
        for sequence in 1..most {
            pulse(0, sequence).emit(frame, None).expect("room");
        }
        pulse(1, 1).emit(frame, Some(&connect())).expect("room");
    });
    assert_eq!(hostile.dropped(DropReason::Early), 0);
    hostile.send(|frame| pulse(1, 2).emit(frame, None).expect("room"));
    assert_eq!(hostile.dropped(DropReason::Early), 1, "one too many");
    assert_eq!(delivered(&hostile), 0);
    // Whose turn it is has room, and makes room.
    hostile.send(|frame| pulse(0, 0).emit(frame, None).expect("room"));
    assert_eq!(delivered(&hostile) as u64, most);
    hostile.send(|frame| pulse(1, 2).emit(frame, None).expect("room"));
    hostile.send(|frame| pulse(1, 0).emit(frame, None).expect("room"));
    assert_eq!(delivered(&hostile) as u64, most + 3);
    assert_eq!(hostile.dropped(DropReason::Early), 1);
}

/// A message through the connection that there is.
fn message(call: u64, len: usize) -> MessageHead {
    MessageHead {
        call,
        conn: 0,
        len: len as u32,
        reply_len: 0,
        tid: 1,
        priority: 10,
        reports: false,
        pulses: 0,
    }
}

/// The first byte of a long message, and as many single bytes behind it as make so many gaps.
fn begin(frame: &mut FrameBuilder<'_>, call: u64, gaps: usize) {
    message(call, EAGER_LEN).emit(frame, None, 1).expect("room");
    (1..=gaps).for_each(|gap| one_byte(frame, call, 2 * gap as u32));
}

fn one_byte(frame: &mut FrameBuilder<'_>, call: u64, offset: u32) {
    let kind = RecordType::MessageFragment;
    Fragment::emit(frame, kind, call, offset, 1).expect("room");
}

#[test]
fn messages_full_of_gaps_take_a_bounded_number_of_ranges_and_hold_up_no_whole_one() {
    let mut hostile = Hostile::new();
    // Two calls were made before.
    let mut call = 2;
    let mut left = PLACED_RANGES_OF_PEER_MAX;
    while left > 0 {
        let gaps = left.min(PLACED_RANGES_MAX - 1);
        hostile.send(|frame| begin(frame, call, gaps));
        left -= gaps;
        call += 1;
    }
    assert_eq!(hostile.dropped(DropReason::Early), 0);
    hostile.send(|frame| begin(frame, call, 1));
    assert_eq!(hostile.dropped(DropReason::Early), 1, "one too many");
    hostile.send(|frame| one_byte(frame, call, 1));
    hostile.send(|frame| begin(frame, call + 1, 0));
    hostile.send(|frame| {
        message(call + 2, 5).emit(frame, None, 5).expect("room");
    });
    assert_eq!(hostile.dropped(DropReason::Early), 1, "no gap more");
    let events = &hostile.pair.nodes[1].events;
    assert!(matches!(events[..], [Event::MessageArrived { .. }]));
    // What ends gives its ranges back, and what is filled up.
    hostile.send(|frame| one_byte(frame, 3, 1));
    hostile.send(|frame| one_byte(frame, call, 3));
    hostile.send(|frame| one_byte(frame, call, 6));
    assert_eq!(hostile.dropped(DropReason::Early), 2);
    let gone = CancelRecord {
        call: 2,
        cancel: Cancel::Abandon,
    };
    hostile.send(|frame| gone.emit(frame).expect("room"));
    hostile.send(|frame| {
        (3..PLACED_RANGES_MAX as u32).for_each(|gap| one_byte(frame, call, 2 * gap));
    });
    assert_eq!(hostile.dropped(DropReason::Early), 2);
    hostile.send(|frame| begin(frame, call + 3, 10));
    assert!(hostile.dropped(DropReason::Early) > 2, "it is full again");
}

fn emit_run(frame: &mut FrameBuilder<'_>, first: u64, count: usize) {
    let bytes = message(first, 1).emit_run(frame, count);
    bytes.expect("room").fill(7);
}

/// The first number that node 0 has not given to a call.
const NEXT: u64 = 2;

#[test]
fn runs_at_the_end_of_all_numbers_are_too_early() {
    let mut hostile = Hostile::new();
    let before = hostile.calls_open();
    for count in [2, RUN_MESSAGES_MAX, 2 * RUN_MESSAGES_MAX] {
        hostile.send_run(u64::MAX - count as u64, count);
        hostile.send_run(u64::MAX - count as u64 - 1, count);
        // The wire has no number behind the last.
        hostile.send_run(u64::MAX - 1, count);
    }
    assert_eq!(hostile.calls_open(), before);
    assert_eq!(hostile.dropped(DropReason::Early), 6);
    assert!(hostile.pair.nodes[1].bytes.runs.is_empty());
}

#[test]
fn runs_that_overlap_bring_each_message_once() {
    let mut hostile = Hostile::new();
    hostile.send_run(NEXT, 4);
    hostile.send_run(NEXT + 2, 4);
    hostile.send_run(NEXT, 6);
    hostile.send_run(NEXT + 5, 2);
    let events = &hostile.pair.nodes[1].events;
    let is_run = |event: &&Event| matches!(event, Event::RunArrived { .. });
    let is_alone = |event: &&Event| matches!(event, Event::MessageArrived { .. });
    assert_eq!(events.iter().filter(is_run).count(), 1);
    assert_eq!(events.iter().filter(is_alone).count(), 3, "4, 5 and 6");
}

#[test]
fn a_run_that_reaches_beyond_the_window_comes_as_far_as_it_does_within() {
    let mut hostile = Hostile::new();
    let before = hostile.calls_open();
    hostile.send_run(NEXT + SEEN_WINDOW as u64 - 1, 2);
    assert!(hostile.pair.nodes[1].bytes.runs.is_empty());
    assert_eq!(hostile.calls_open(), before + 1);
    hostile.send_run(NEXT + SEEN_WINDOW as u64 - 64, 63);
    assert_eq!(hostile.calls_open(), before + 64);
    assert_eq!(hostile.pair.nodes[1].bytes.runs.len(), 1);
}

#[test]
fn no_more_messages_are_kept_in_runs_than_by_themselves() {
    for count in [2, RUN_MESSAGES_MAX] {
        let mut hostile = Hostile::new();
        let before = hostile.calls_open();
        let most = (2 * CALLS_MAX - before) / count * count;
        for first in (0..most).step_by(count) {
            hostile.send_run(NEXT + first as u64, count);
        }
        assert_eq!(hostile.calls_open(), before + most);
        let next = NEXT + most as u64;
        hostile.send_run(next, count);
        hostile.send_run(next, count);
        assert!(hostile.calls_open() <= 2 * CALLS_MAX);
        assert_eq!(hostile.pair.nodes[1].bytes.runs.len(), most / count);
        // What is answered and not acknowledged counts, too.
        let now = hostile.pair.now;
        let node = &mut hostile.pair.nodes[1];
        let runs: Vec<_> = node.bytes.runs.keys().copied().collect();
        for run in runs {
            node.engine.reply_run(now, run, u64::MAX);
        }
        let full = hostile.calls_open();
        hostile.send_run(next + 2 * count as u64, count);
        assert_eq!(hostile.calls_open(), full.max(2 * CALLS_MAX));
    }
}

/// A frame may take a message out, end it, and begin another call, which has its index.
#[test]
fn a_call_that_was_taken_out_and_ended_in_one_frame_makes_room_for_another() {
    let mut hostile = Hostile::new();
    hostile.pair.nodes[1].bytes.takes_runs = true;
    let gone = |call| CancelRecord {
        call,
        cancel: Cancel::Abandon,
    };
    hostile.send(|frame| {
        emit_run(frame, NEXT, 2);
        gone(NEXT + 1).emit(frame).expect("room");
        gone(NEXT + 1).emit(frame).expect("room");
        let alone = message(NEXT + 2, 1).emit(frame, None, 1);
        alone.expect("room").fill(8);
        gone(NEXT).emit(frame).expect("room");
    });
    let told = &hostile.pair.nodes[1].events;
    let [
        Event::RunArrived { run, .. },
        Event::TakenOut { at: 1, call, .. },
        Event::Abandoned { call: ended },
        Event::MessageArrived { call: other, .. },
        Event::TakenOut {
            at: 0, call: last, ..
        },
        Event::Abandoned { call: last_ended },
        Event::RunDone { run: done },
    ] = told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((call, last, run), (ended, last_ended, done));
    assert_eq!(call.index(), other.index());
    assert_ne!(call, other);
}
