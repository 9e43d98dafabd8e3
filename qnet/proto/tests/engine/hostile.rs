//! A node that has a session and keeps to no rule in it: what it makes its peer keep is bounded all the same.

use crate::pair::{Pair, mac};
use qnet_proto::limits::{
    CONNS_MAX, EAGER_LEN, FRAME_LEN_MAX, MTU_MAX, PLACED_RANGES_MAX, PLACED_RANGES_OF_PEER_MAX,
    PULSES_MAX,
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
