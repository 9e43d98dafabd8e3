//! Frames of every size, of others, and of several ports.

use std::{
    os::fd::AsFd,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use qnet_proto::LinkId;

use super::{ETHERTYPE, RingLink, bells::Bell, flush, pair, receive, send};
use crate::driver::{FrameSocket, Link, LinkCounters, LinkError, Mac, Poke};

#[test]
fn frames_cross_both_ways_at_every_size() {
    for mtu in [1500, 9000, 65_535] {
        let Some((mut one, mut two, _)) = pair(mtu, Vec::new()) else {
            return;
        };
        for len in [0, 1, 46, mtu] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            send(&mut one, two.mac(), ETHERTYPE, &payload);
            flush(&mut one);
            assert_eq!(receive(&mut two), payload);
            send(&mut two, Mac::BROADCAST, ETHERTYPE, &payload);
            flush(&mut two);
            assert_eq!(receive(&mut one), payload);
        }
    }
}

#[test]
fn buffers_come_round_many_times() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    let (mut sent, mut seen) = (0_u32, 0_u32);
    while seen < 20_000 {
        for _ in 0..64 {
            send(&mut one, two.mac(), ETHERTYPE, &sent.to_le_bytes());
            sent += 1;
        }
        flush(&mut one);
        while seen < sent {
            assert_eq!(receive(&mut two), seen.to_le_bytes());
            seen += 1;
        }
    }
    assert_eq!(one.counters().frames_sent, u64::from(sent));
    assert_eq!(two.counters().frames_received, u64::from(seen));
}

#[test]
fn foreign_short_and_oversized_frames_are_counted_and_dropped() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    let raw = |bytes: &[u8], link: &RingLink| {
        nix::unistd::write(link.sockets[0].as_fd(), bytes).unwrap();
    };
    send(&mut one, two.mac(), 0x0800, b"another protocol");
    send(
        &mut one,
        Mac([2, 9, 9, 9, 9, 9]),
        ETHERTYPE,
        b"another station",
    );
    flush(&mut one);
    raw(&[1; 13], &one);
    raw(&[1; 1515], &one);
    raw(&[1; 4000], &one);
    send(&mut one, two.mac(), ETHERTYPE, b"ours");
    flush(&mut one);
    assert_eq!(receive(&mut two), b"ours");
    assert_eq!(two.counters().foreign, 2);
    assert_eq!(two.counters().bad_length, 3);
}

#[test]
fn frames_of_no_use_do_not_keep_the_thread_from_the_rest() {
    let Some((mut one, mut two, _)) = pair(65_535, Vec::new()) else {
        return;
    };
    for _ in 0..100 {
        send(
            &mut one,
            Mac([2, 9, 9, 9, 9, 9]),
            ETHERTYPE,
            b"another station",
        );
        flush(&mut one);
    }
    send(&mut one, two.mac(), ETHERTYPE, b"ours");
    flush(&mut one);
    flush(&mut two);
    flush(&mut two);
    assert!(two.next_frame().is_none());
    let passed_over = two.counters().foreign;
    assert!((1..100).contains(&passed_over), "{passed_over}");
    // Without a wait for anything to come: what is left is still to be looked at.
    assert!(!two.has_nothing());
    assert_eq!(
        two.next_frame().map(|frame| frame[14..].to_vec()),
        Some(b"ours".to_vec())
    );
    assert_eq!(two.counters().foreign, 100);
}

#[test]
fn ports_take_turns() {
    for mtus in [
        [65_535, 65_535],
        [1500, 65_535],
        [65_535, 1500],
        [1500, 1500],
    ] {
        let pairs = mtus.map(|mtu| FrameSocket::loopback_pair(mtu, ETHERTYPE).unwrap());
        let [(one, first), (two, second)] = pairs;
        let link = RingLink::open_ports(vec![one, two], Poke::new().unwrap(), Vec::new());
        let mut link = match link {
            Err(error @ LinkError::RingRefused(_)) => return println!("skipped: {error}"),
            link => link.unwrap(),
        };
        let mut frame = [0xff; 100];
        frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        for _ in 0..3 {
            nix::unistd::write(first.as_fd(), &frame).unwrap();
            nix::unistd::write(second.as_fd(), &frame).unwrap();
        }
        flush(&mut link);
        flush(&mut link);
        let mut ports = Vec::new();
        while let Some((port, _)) = link.next_frame_from() {
            ports.push(port.0);
        }
        assert_eq!(ports.len(), 6, "{mtus:?}");
        // What the kernel receives by itself lies in the order in which it came.
        if mtus != [1500, 1500] {
            assert!(ports.windows(2).all(|two| two[0] != two[1]), "{ports:?}");
        }
    }
}

#[test]
fn a_link_is_dropped_with_everything_in_flight() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let Some((mut one, mut two, _)) = pair(1500, vec![Box::new(bell)]) else {
        return;
    };
    one.wait(Some(Duration::from_millis(1))).unwrap();
    flush(&mut two);
    for _ in 0..100 {
        send(&mut two, one.mac(), ETHERTYPE, b"never looked at");
    }
    flush(&mut two);
    assert!(one.quiesce() && two.quiesce());
}

#[test]
fn frames_of_a_system_call_are_counted_for_each_port_and_together_in_rests_too() {
    let pairs = [(); 2].map(|()| FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap());
    let [(one, _first), (two, _second)] = pairs;
    let link = RingLink::open_ports(vec![one, two], Poke::new().unwrap(), Vec::new());
    let mut link = match link {
        Err(error @ LinkError::RingRefused(_)) => return println!("skipped: {error}"),
        link => link.unwrap(),
    };
    let queue = |link: &mut RingLink, ports: &[u8]| {
        for port in ports {
            let frame = link.frame_buffer().expect("a free buffer");
            frame[..60].fill(0xff);
            link.queue_to(LinkId(*port), 60);
        }
    };
    queue(&mut link, &[0, 1, 1]);
    flush(&mut link);
    queue(&mut link, &[1, 1]);
    link.rest(Duration::from_micros(5)).unwrap();
    queue(&mut link, &[0]);
    flush(&mut link);
    let occurred = |of: LinkCounters| -> Vec<_> {
        let classes = of.batches.classes();
        classes.filter(|(_, count)| *count > 0).collect()
    };
    assert_eq!(occurred(link.counters_of(LinkId(0))), [("1", 2)]);
    assert_eq!(occurred(link.counters_of(LinkId(1))), [("2", 2)]);
    let all = [("1", 1), ("2", 1), ("3-4", 1)];
    assert_eq!(occurred(link.counters()), all);
}
