//! Bytes that are sent from and placed where messages lie.

use ipc_core::{Channel, ChannelFlags, Connection, Loan, Nd, Pid};
use qnet_proto::LinkId;

use super::{ETHERTYPE, flush, pair, receive, send};
use crate::{
    driver::{Hole, Link, Mac, RingLink},
    limits::TX_BUFFERS_MAX,
};

/// A message in shared memory whose bytes are `payload`, and who keeps it there.
fn message(payload: &[u8]) -> (Channel, Connection, Loan) {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let pid = Pid(std::process::id().cast_signed());
    let connection = Connection::attach(Nd::LOCAL, pid, channel.chid()).unwrap();
    let mut loan = connection.loan(payload.len(), 0).unwrap();
    assert_eq!(loan.write(0, payload), payload.len());
    (channel, connection, loan)
}

fn hole(loan: &mut Loan, at: usize, offset: usize, len: usize) -> Hole {
    let bytes = loan.room(offset, len).expect("in shared memory");
    Hole { at, bytes }
}

#[test]
fn bytes_are_gathered_from_and_placed_where_messages_lie() {
    let Some((mut one, mut two, _)) = pair(65_535, Vec::new()) else {
        return;
    };
    let payload: Vec<u8> = (0..60_000_u32).map(|at| (at ^ at >> 8) as u8).collect();
    let (_from_channel, _from, mut source) = message(&payload);
    let (_to_channel, _to, mut target) = message(&[9; 60_000]);
    for (at, offset, len) in [(14, 0, 50_000), (100, 1000, 40_000), (200, 59_000, 1000)] {
        let frame = one.frame_buffer().unwrap();
        let mut whole = vec![7; 60_000];
        whole[..6].copy_from_slice(&two.mac().0);
        whole[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        frame[..whole.len()].copy_from_slice(&whole);
        one.queue_with_hole_to(LinkId(0), whole.len(), hole(&mut source, at, offset, len));
        flush(&mut one);
        whole[at..at + len].copy_from_slice(&payload[offset..offset + len]);

        let mut asked = 0;
        let arrived = loop {
            two.wait(None).unwrap();
            let arrived = two.next_frame_placing(&mut |frame, known| {
                asked += 1;
                assert_eq!((frame.len(), &frame[..known]), (60_000, &whole[..known]));
                Some(hole(&mut target, at, offset, len))
            });
            if let Some(arrived) = arrived {
                break arrived;
            }
        };
        assert!(arrived.has_hole && asked == 1);
        assert_eq!(arrived.frame[..at], whole[..at]);
        assert_eq!(arrived.frame[at + len..], whole[at + len..]);
        let mut placed = vec![0; len];
        let room = target.room(offset, len).unwrap();
        assert_eq!(room.read(&mut placed), len);
        assert_eq!(placed, payload[offset..offset + len]);
    }
    assert_eq!(target.room(59_999, 2).map(|room| room.len()), None);
}

#[test]
fn bytes_of_a_message_outlive_it_and_its_connection() {
    let payload: Vec<u8> = (0..20_000_u32).map(|at| at as u8).collect();
    let (channel, connection, mut loan) = message(&payload);
    let bytes = loan.room(1000, 10_000).expect("in shared memory");
    drop((loan, connection, channel));
    let mut kept = vec![0; 20_000];
    assert_eq!(bytes.read(&mut kept), 10_000);
    assert_eq!(kept[..10_000], payload[1000..11_000]);
}

#[test]
fn a_hole_that_is_not_wanted_or_not_inside_leaves_the_frame_whole() {
    let Some((mut one, mut two, _)) = pair(65_535, Vec::new()) else {
        return;
    };
    let payload: Vec<u8> = (0..30_000_u32).map(|at| at as u8).collect();
    let (_channel, _connection, mut room) = message(&[9; 40_000]);
    for bad in [None, Some((14, 39_000)), Some((5000, 100))] {
        let to = two.mac();
        send(&mut one, to, ETHERTYPE, &payload);
        flush(&mut one);
        two.wait(None).unwrap();
        let arrived =
            two.next_frame_placing(&mut |_, _| bad.map(|(at, len)| hole(&mut room, at, 0, len)));
        let arrived = arrived.expect("it was sent");
        assert!(!arrived.has_hole && arrived.frame[14..] == payload);
    }
}

#[test]
fn frames_that_are_gathered_keep_their_order_among_others() {
    let Some((mut one, mut two, _)) = pair(9000, Vec::new()) else {
        return;
    };
    let payload = vec![5; 8000];
    let (_channel, _connection, mut source) = message(&payload);
    let to = two.mac();
    // In front of the ring's, behind them, and among themselves.
    let rounds: [&[bool]; 4] = [
        &[true, false, true, true],
        &[false, true, false, true],
        &[true],
        &[false, false],
    ];
    let mut number = 0;
    for round in rounds {
        for has_hole in round {
            number += 1;
            send_numbered(&mut one, to, number, has_hole.then_some(&mut source));
        }
        flush(&mut one);
    }
    for expected in 1..=number {
        let payload = receive(&mut two);
        assert_eq!(payload[0], expected);
        let is_gathered = payload.len() > 1;
        assert!(!is_gathered || payload[1..] == [5; 8000]);
    }
    let counters = one.counters();
    assert_eq!(counters.frames_sent, u64::from(number));
    assert_eq!(counters.sends_failed, 0);
    let batches: u64 = counters.batches.classes().map(|(_, count)| count).sum();
    assert!(batches >= rounds.len() as u64);
}

#[test]
fn buffers_of_gathered_frames_come_back_also_when_these_are_refused() {
    let Some((mut one, two, _)) = pair(9000, Vec::new()) else {
        return;
    };
    let (_channel, _connection, mut source) = message(&[5; 8000]);
    let to = two.mac();
    // More than the sockets keep, and nobody takes one.
    for _ in 0..2 * TX_BUFFERS_MAX {
        send_numbered(&mut one, to, 1, Some(&mut source));
        send_numbered(&mut one, to, 2, None);
        flush(&mut one);
    }
    let counters = one.counters();
    let (sent, refused) = (counters.frames_sent, counters.sends_failed);
    assert!(sent > 0 && refused > 0, "{sent} {refused}");
    assert_eq!(sent + refused, 4 * TX_BUFFERS_MAX as u64);
    // Not handed over at all: the link's end takes it back.
    send_numbered(&mut one, to, 3, Some(&mut source));
    assert!(one.quiesce());
}

/// Queues a frame that says its number, and behind that all bytes of a message if there is one.
fn send_numbered(link: &mut RingLink, to: Mac, number: u8, source: Option<&mut Loan>) {
    let Some(source) = source else {
        return send(link, to, ETHERTYPE, &[number]);
    };
    let from = link.mac();
    let frame = link.frame_buffer().expect("a free buffer");
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    frame[14] = number;
    link.queue_with_hole_to(LinkId(0), 15 + 8000, hole(source, 15, 0, 8000));
}
