//! When the thread sleeps, what ends that, and looking for work before it.

use std::time::Duration;

use super::{ETHERTYPE, bells::Rung, flush, pair, receive, send};
use crate::driver::{Link, clock};

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

#[test]
fn a_link_that_looks_before_it_sleeps_finds_frames_and_bells_and_announces_nothing() {
    let Some((mut one, mut two, _)) = pair(1500, vec![Box::new(Rung)]) else {
        return;
    };
    one.spin_for(Duration::from_secs(60));
    one.wait(None).unwrap();
    assert!(one.may_have_rung());
    two.spin_for(Duration::from_secs(60));
    send(&mut one, two.mac(), ETHERTYPE, b"x");
    flush(&mut one);
    assert_eq!(receive(&mut two), b"x");
}

#[test]
fn looking_ends_with_the_timeout_and_with_its_own_time() {
    let Some((mut one, _two, poke)) = pair(1500, Vec::new()) else {
        return;
    };
    one.spin_for(Duration::from_secs(60));
    one.wait(Some(Duration::from_millis(1))).unwrap();
    one.spin_for(Duration::from_millis(1));
    let poker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        poke.poke();
    });
    one.wait(None).unwrap();
    poker.join().unwrap();
}

#[test]
fn a_poke_that_is_read_while_looking_is_something_to_do() {
    let Some((mut one, _two, poke)) = pair(1500, Vec::new()) else {
        return;
    };
    one.spin_for(Duration::from_millis(1));
    flush(&mut one);
    poke.poke();
    let has_something = one.spin(clock::now(), Some(Duration::from_secs(60)));
    assert!(has_something.unwrap(), "nobody would hear of it");
    assert!(!one.poke.is_armed());
    for _ in 0..3 {
        flush(&mut one);
        poke.poke();
        one.wait(None).unwrap();
    }
}

#[test]
fn the_time_spent_looking_is_taken_off_the_sleep() {
    let Some((mut one, _two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    flush(&mut one);
    let before = one.counters().waits;
    one.spin_for(Duration::from_secs(60));
    one.wait(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(one.counters().waits, before, "nothing was left to sleep");
}
