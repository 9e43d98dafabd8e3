//! The link as its thread uses it, over a loopback pair.

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::RingLink;
use crate::driver::{Doorbell, FrameSocket, Link, LinkError, Mac, Poke, Word};

const ETHERTYPE: u16 = 0x88b5;

/// Two rings on one wire; `None`, with the reason printed, where io_uring is refused.
fn pair(mtu: usize, bells: Vec<Box<dyn Doorbell>>) -> Option<(RingLink, RingLink, Poke)> {
    let (one, two) = FrameSocket::loopback_pair(mtu, ETHERTYPE).unwrap();
    let poke = Poke::new().unwrap();
    let open = |socket, poke, bells| match RingLink::open(socket, poke, bells) {
        Ok(link) => Some(link),
        Err(error @ LinkError::RingRefused(_)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    };
    let one = open(one, poke.clone(), bells)?;
    Some((one, open(two, Poke::new().unwrap(), Vec::new())?, poke))
}

fn send(link: &mut RingLink, to: Mac, ethertype: u16, payload: &[u8]) {
    let from = link.mac();
    let frame = link.frame_buffer().expect("a free buffer");
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    frame[14..14 + payload.len()].copy_from_slice(payload);
    link.queue(14 + payload.len());
}

fn flush(link: &mut RingLink) {
    link.wait(Some(Duration::ZERO)).unwrap();
}

fn receive(link: &mut RingLink) -> Vec<u8> {
    loop {
        if let Some(frame) = link.next_frame() {
            return frame[14..].to_vec();
        }
        link.wait(None).unwrap();
    }
}

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
fn a_round_with_sends_sleeps_in_the_system_call_that_submits_them() {
    let Some((mut one, two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    flush(&mut one);
    let before = one.counters().waits;
    for _ in 0..8 {
        send(&mut one, two.mac(), ETHERTYPE, b"x");
    }
    // Nothing comes back: it sleeps out its time although eight sends completed.
    one.wait(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(one.counters().waits, before + 1);
}

#[test]
fn a_poke_and_a_timeout_end_the_sleep() {
    let Some((mut one, _two, poke)) = pair(1500, Vec::new()) else {
        return;
    };
    one.wait(Some(Duration::from_millis(5))).unwrap();
    for _ in 0..3 {
        let other = poke.clone();
        let poker = std::thread::spawn(move || other.poke());
        one.wait(None).unwrap();
        poker.join().unwrap();
    }
}

struct Bell(AtomicU32);

impl Bell {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Release);
        // SAFETY: the word lives in `self`; a wake touches no memory.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
    }
}

impl Doorbell for Arc<Bell> {
    fn announce(&self, words: &mut Vec<Word>) -> bool {
        words.push(Word {
            address: self.0.as_ptr(),
            value: self.0.load(Ordering::Acquire),
        });
        true
    }

    fn retract(&self) {}
}

/// Sleeps until the bell has rung, fifty times.
fn be_rung(one: &mut RingLink, bell: &Arc<Bell>) {
    flush(one);
    for _ in 0..50 {
        let ringer = Arc::clone(bell);
        let seen = bell.0.load(Ordering::Acquire);
        let thread = std::thread::spawn(move || ringer.ring());
        while bell.0.load(Ordering::Acquire) == seen {
            one.wait(None).unwrap();
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_doorbell_ends_the_sleep_again_and_again() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let Some((mut one, _two, _)) = pair(1500, vec![Box::new(Arc::clone(&bell))]) else {
        return;
    };
    be_rung(&mut one, &bell);
}

#[test]
fn a_doorbell_ends_the_sleep_also_where_io_uring_cannot_wait_for_it() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let (socket, _other) = FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap();
    let bells: Vec<Box<dyn Doorbell>> = vec![Box::new(Arc::clone(&bell))];
    match RingLink::open_with(vec![socket], Poke::new().unwrap(), bells, |_| false) {
        Ok(mut one) => be_rung(&mut one, &bell),
        Err(error) => println!("skipped: {error}"),
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
