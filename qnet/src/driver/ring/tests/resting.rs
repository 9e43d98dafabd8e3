//! Frames that come while the thread rests, which it takes itself.

use std::{os::fd::AsFd, time::Duration};

use super::{ETHERTYPE, RingLink, flush, pair, receive, send};
use crate::{
    driver::{FrameSocket, Link, LinkError, Mac, Poke},
    limits::{RUN_FRAMES_MAX, RX_BUFFERS_MAX},
};

const REST: Duration = Duration::from_micros(5);

/// Rests until the kernel has no receive any more.
fn rest_alone(link: &mut RingLink) {
    link.rest(REST).unwrap();
    while link.reception.is_armed() {
        link.rest(REST).unwrap();
    }
}

/// All frames that are there, without waiting for any.
fn drain(link: &mut RingLink) -> Vec<Vec<u8>> {
    let next = || link.next_frame().map(|frame| frame[14..].to_vec());
    std::iter::from_fn(next).collect()
}

#[test]
fn frames_keep_their_order_over_rests_and_sleeps() {
    for mtu in [1500, 9000, 65_535] {
        let Some((mut one, mut two, _)) = pair(mtu, Vec::new()) else {
            return;
        };
        let (mut sent, mut seen) = (0_u32, 0_u32);
        for turn in 0..600 {
            for _ in 0..turn % 37 {
                send(&mut one, two.mac(), ETHERTYPE, &sent.to_le_bytes());
                sent += 1;
            }
            flush(&mut one);
            // Frames that were received before the rest, at its beginning, while it lasts, and after it.
            match turn % 5 {
                0 => flush(&mut two),
                1 => two.wait(Some(Duration::from_micros(1))).unwrap(),
                _ => two.rest(REST).unwrap(),
            }
            // Some are left for the next turn now and then.
            let most = if turn % 3 == 0 { 11 } else { u32::MAX };
            for _ in 0..most {
                let Some(frame) = two.next_frame() else {
                    break;
                };
                assert_eq!(frame[14..], seen.to_le_bytes(), "mtu {mtu}, turn {turn}");
                seen += 1;
            }
        }
        while seen < sent {
            assert_eq!(receive(&mut two), seen.to_le_bytes());
            seen += 1;
        }
        assert_eq!(two.counters().frames_received, u64::from(sent));
    }
}

#[test]
fn a_thread_that_rested_is_woken_from_its_next_sleep() {
    for mtu in [1500, 65_535] {
        let Some((one, mut two, _)) = pair(mtu, Vec::new()) else {
            return;
        };
        rest_alone(&mut two);
        assert_eq!(drain(&mut two), Vec::<Vec<u8>>::new());
        let frame = [
            &two.mac().0[..],
            &one.mac().0,
            &ETHERTYPE.to_be_bytes(),
            b"x",
        ];
        let frame = frame.concat();
        let socket = one.sockets[0].as_fd().try_clone_to_owned().unwrap();
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            nix::unistd::write(&socket, &frame).unwrap();
        });
        assert_eq!(receive(&mut two), b"x");
        sender.join().unwrap();
    }
}

#[test]
fn foreign_short_and_oversized_frames_are_counted_and_dropped_by_hand_as_well() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    rest_alone(&mut two);
    let raw = |bytes: &[u8], link: &RingLink| {
        nix::unistd::write(link.sockets[0].as_fd(), bytes).unwrap();
    };
    let nobody = Mac([2, 9, 9, 9, 9, 9]);
    send(&mut one, two.mac(), 0x0800, b"another protocol");
    send(&mut one, nobody, ETHERTYPE, b"another station");
    flush(&mut one);
    raw(&[1; 13], &one);
    raw(&[1; 1515], &one);
    raw(&[1; 4000], &one);
    send(&mut one, two.mac(), ETHERTYPE, b"ours");
    flush(&mut one);
    rest_alone(&mut two);
    assert_eq!(drain(&mut two), [b"ours"]);
    assert_eq!(two.counters().foreign, 2);
    assert_eq!(two.counters().bad_length, 3);
}

#[test]
fn frames_of_no_use_do_not_keep_a_thread_that_rested_from_the_rest() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    rest_alone(&mut two);
    let nobody = Mac([2, 9, 9, 9, 9, 9]);
    for _ in 0..200 {
        send(&mut one, nobody, ETHERTYPE, b"another station");
        flush(&mut one);
    }
    send(&mut one, two.mac(), ETHERTYPE, b"ours");
    flush(&mut one);
    rest_alone(&mut two);
    assert!(two.next_frame().is_none());
    let passed_over = two.counters().foreign;
    assert!((1..200).contains(&passed_over), "{passed_over}");
    assert!(!two.has_nothing(), "no sleep while frames are left");
    let ours = loop {
        if let Some(frame) = two.next_frame() {
            break frame[14..].to_vec();
        }
    };
    assert_eq!(ours, b"ours");
    assert_eq!(two.counters().foreign, 200);
}

#[test]
fn every_port_is_looked_at_by_hand() {
    let Some((mut link, [first, second])) = two_ports() else {
        return;
    };
    rest_alone(&mut link);
    let mut ports = Vec::new();
    for _ in 0..4 {
        broadcast(&first, 1);
        broadcast(&second, 1);
        rest_alone(&mut link);
        ports.push(link.next_frame_from().map(|(port, _)| port.0));
        ports.push(link.next_frame_from().map(|(port, _)| port.0));
        assert!(link.next_frame_from().is_none());
    }
    let seen = |port| ports.iter().filter(|one| **one == Some(port)).count();
    assert_eq!((seen(0), seen(1)), (4, 4), "{ports:?}");
}

#[test]
fn ports_take_turns_by_hand() {
    for busy in [0, 1] {
        let Some((mut link, others)) = two_ports() else {
            return;
        };
        rest_alone(&mut link);
        assert!(link.next_frame_from().is_none());
        broadcast(&others[busy], 3 * RUN_FRAMES_MAX);
        broadcast(&others[1 - busy], 1);
        rest_alone(&mut link);
        let next = || link.next_frame_from().map(|(port, _)| usize::from(port.0));
        let ports: Vec<_> = std::iter::from_fn(next).collect();
        assert_eq!(ports.len(), 3 * RUN_FRAMES_MAX + 1);
        let turn = ports.iter().position(|port| *port == 1 - busy);
        assert!(turn <= Some(RUN_FRAMES_MAX), "{turn:?}");
    }
}

/// A link of two ports, and what each is connected to; `None`, with the reason printed, where io_uring is refused.
fn two_ports() -> Option<(RingLink, [FrameSocket; 2])> {
    let pairs = [(); 2].map(|()| FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap());
    let [(one, first), (two, second)] = pairs;
    match RingLink::open_ports(vec![one, two], Poke::new().unwrap(), Vec::new()) {
        Err(error @ LinkError::RingRefused(_)) => {
            println!("skipped: {error}");
            None
        }
        link => Some((link.unwrap(), [first, second])),
    }
}

/// Sends frames to everybody.
fn broadcast(from: &FrameSocket, count: usize) {
    let mut frame = [0xff; 100];
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    for _ in 0..count {
        nix::unistd::write(from.as_fd(), &frame).unwrap();
    }
}

#[test]
fn a_rest_is_no_restart_of_receiving_and_a_lack_of_buffers_is_one() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    for count in 0..3 {
        rest_alone(&mut two);
        send(&mut one, two.mac(), ETHERTYPE, &[count]);
        flush(&mut one);
        // By hand, then by the kernel.
        assert_eq!(receive(&mut two), [count]);
        two.wait(Some(Duration::from_micros(1))).unwrap();
        assert!(two.reception.is_armed());
    }
    assert_eq!(two.counters().receive_restarts, 0);
    let mut count = 0;
    while two.counters().receive_restarts == 0 {
        send(&mut one, two.mac(), ETHERTYPE, b"not taken");
        flush(&mut one);
        two.wait(Some(Duration::from_micros(1))).unwrap();
        count += 1;
        assert!(count <= RX_BUFFERS_MAX, "no more can be kept");
    }
    for _ in 0..count {
        assert_eq!(receive(&mut two), b"not taken");
    }
}

#[test]
fn the_end_of_the_other_side_is_no_frame_and_no_work() {
    let Some((one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    rest_alone(&mut two);
    drop(one);
    rest_alone(&mut two);
    assert_eq!(drain(&mut two), Vec::<Vec<u8>>::new());
    // It sleeps out its time: what has ended is no reason to be awake.
    let before = two.counters().waits;
    two.wait(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(two.counters().waits, before + 1);
    assert!(two.has_nothing());
}

#[test]
fn a_link_that_rests_is_dropped_with_frames_at_its_socket() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    rest_alone(&mut one);
    for _ in 0..100 {
        send(&mut two, one.mac(), ETHERTYPE, b"never looked at");
    }
    flush(&mut two);
    one.rest(REST).unwrap();
    assert!(one.next_frame().is_some());
    assert!(one.quiesce() && two.quiesce());
}
