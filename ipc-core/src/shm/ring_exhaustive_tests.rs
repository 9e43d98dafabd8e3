//! The ring's arithmetic at every position of small rings, at every place where its positions wrap, and
//! between threads.

use std::{collections::VecDeque, thread};

use super::*;
use crate::{
    abi::PulseCode,
    shm::{Completion, Layout},
};

/// A ring whose next position is `position`, as after so many entries.
pub(super) fn ring_at(slots: u32, position: u32) -> (Region, Producer, Consumer) {
    let (region, _fd) = Region::create(Layout::new(slots, 0).unwrap()).unwrap();
    for before in 1..=region.layout().ring_len() {
        let earlier = position.wrapping_sub(before);
        let word = region.mapping().atomic_u32(region.layout().entry(earlier));
        word.store(earlier.wrapping_add(1), Ordering::Relaxed);
    }
    let consumer = Consumer { head: position };
    consumer.publish_head(&region);
    (
        region,
        Producer {
            tail: position,
            ..Producer::default()
        },
        consumer,
    )
}

fn pulse(value: i64) -> PulseEntry {
    PulseEntry {
        priority: 7,
        code: PulseCode(3),
        value,
        stamp_ns: 0,
    }
}

/// What the consumer takes next, as the number that the producer gave it.
fn taken(consumer: &mut Consumer, region: &Region) -> Option<i64> {
    match consumer.pop(region).unwrap()? {
        Entry::Pulse(pulse) => Some(pulse.value),
        Entry::Message(message, inline) => {
            let number = i64::from_le_bytes(inline.bytes()[..8].try_into().unwrap());
            assert_eq!(number, i64::from(message.generation));
            Some(number)
        }
    }
}

/// Every position of the first rounds of a ring, and of the rounds around the wrap of positions.
pub(super) fn positions(slots: u32) -> impl Iterator<Item = u32> {
    let ring_len = 2 * slots;
    (0..2 * ring_len).chain((0..4 * ring_len).map(move |p| p.wrapping_sub(2 * ring_len)))
}

#[test]
fn every_filling_at_every_position_comes_out_in_order() {
    // Each filling takes Miri a while.
    let sizes: &[u32] = if cfg!(miri) { &[1, 2] } else { &[1, 2, 4] };
    for &slots in sizes {
        for position in positions(slots) {
            for pulses in 0..=slots {
                for messages in 0..=slots {
                    fill_and_empty(slots, position, pulses, messages);
                }
            }
        }
    }
}

fn fill_and_empty(slots: u32, position: u32, pulses: u32, messages: u32) {
    let (region, mut producer, mut consumer) = ring_at(slots, position);
    let layout = region.layout();
    for at in 0..layout.ring_len() {
        assert!(!is_full(&region, position.wrapping_add(at)));
    }
    for value in 0..pulses {
        assert_eq!(
            producer.post_pulse(&region, &pulse(i64::from(value))),
            Ok(())
        );
    }
    let room = pulses < slots;
    assert_eq!(room, producer.post_pulse(&region, &pulse(-1)).is_ok());
    let posted = pulses + u32::from(room);
    for slot in 0..messages.min(layout.ring_len() - posted) {
        let number = posted + slot;
        producer.post_message(
            &region,
            &MessageEntry::small(slot, number, 8),
            &i64::from(number).to_le_bytes(),
        );
    }
    let total = posted + messages.min(layout.ring_len() - posted);
    let offsets: std::collections::BTreeSet<usize> = (0..total)
        .map(|at| layout.entry(position.wrapping_add(at)))
        .collect();
    assert_eq!(offsets.len(), total as usize, "two entries in one place");
    for at in 0..layout.ring_len() {
        assert_eq!(is_full(&region, position.wrapping_add(at)), at < total);
    }
    for number in 0..i64::from(total) {
        let expected = if number == i64::from(pulses) && room {
            -1
        } else {
            number
        };
        assert_eq!(taken(&mut consumer, &region), Some(expected));
    }
    assert!(!consumer.is_ready(&region));
    assert_eq!(consumer.head(), producer.tail);
    // A whole round on, nothing of this one is taken for new.
    for at in 0..layout.ring_len() {
        assert!(!is_full(&region, consumer.head().wrapping_add(at)));
    }
}

proptest::proptest! {
    #[test]
    fn any_history_around_the_wrap_is_that_of_a_queue(
        back in 0_u32..40,
        slots in 0_u32..4,
        steps in proptest::collection::vec(0_u8..5, 1..if cfg!(miri) { 40 } else { 200 }),
    ) {
        let slots = 1 << slots;
        let (region, mut producer, mut consumer) = ring_at(slots, 0_u32.wrapping_sub(back));
        let mut queue = VecDeque::new();
        let (mut published, mut number) = (0_i64, 0_i64);
        // Slots of messages that are free, in the ring, and taken but not answered.
        let mut free: Vec<u32> = (0..slots).collect();
        let mut busy: VecDeque<u32> = VecDeque::new();
        for step in steps {
            match step {
                0 => {
                    // Room is counted from what the consumer has published, not from what it took.
                    let room = number - published < i64::from(slots);
                    proptest::prop_assert_eq!(producer.post_pulse(&region, &pulse(number)).is_ok(), room);
                    if room {
                        queue.push_back((number, None));
                        number += 1;
                    }
                }
                1 => if let Some(slot) = free.pop() {
                    producer.post_message(&region, &MessageEntry::small(slot, number as u32, 8), &number.to_le_bytes());
                    queue.push_back((number, Some(slot)));
                    number += 1;
                },
                2 | 3 => {
                    let expected = queue.pop_front();
                    proptest::prop_assert_eq!(taken(&mut consumer, &region), expected.map(|(n, _)| n));
                    busy.extend(expected.and_then(|(_, slot)| slot));
                }
                _ => {
                    // As a drain does: the head goes out before any answer does.
                    consumer.publish_head(&region);
                    published = number - queue.len() as i64;
                    free.extend(busy.drain(..));
                }
            }
        }
        while let Some((expected, _)) = queue.pop_front() {
            proptest::prop_assert_eq!(taken(&mut consumer, &region), Some(expected));
        }
        proptest::prop_assert!(!consumer.is_ready(&region));
    }
}

// For Miri and the thread sanitizer, which see bytes that are read before they were handed over.
#[test]
fn messages_and_answers_pass_between_threads_as_written() {
    let rounds = if cfg!(miri) { 40 } else { 20_000 };
    let (slots, start) = (2, u32::MAX - 9);
    let (region, mut producer, mut consumer) = ring_at(slots, start);
    thread::scope(|scope| {
        let region = &region;
        scope.spawn(move || {
            for number in 0..rounds {
                let got = loop {
                    match taken(&mut consumer, region) {
                        Some(got) => break got,
                        None => thread::yield_now(),
                    }
                };
                assert_eq!(got, i64::from(number));
                consumer.publish_head(region);
                let slot = number % slots;
                region.write_reply_inline(slot, 0, &(!got).to_le_bytes());
                region.answer(slot, number, &Completion::default());
            }
        });
        for number in 0..rounds {
            let slot = number % slots;
            while number >= slots && !region.is_done(slot, number - slots) {
                thread::yield_now();
            }
            if number >= slots {
                let mut answer = [0; 8];
                region.read_reply_inline(slot, 0, &mut answer);
                assert_eq!(!i64::from_le_bytes(answer), i64::from(number - slots));
            }
            producer.post_message(
                region,
                &MessageEntry::small(slot, number, 8),
                &i64::from(number).to_le_bytes(),
            );
        }
    });
}
