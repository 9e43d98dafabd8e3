//! Runs: what a consumer takes straight out of a ring, by the producer's one word for all that is more urgent, at every
//! position of small rings and every place where positions wrap.

use super::{
    exhaustive_tests::{positions, ring_at},
    *,
};

/// Positions at which an entry of the first round, or the one after it, is the first after the wrap.
fn around_the_wrap(ring_len: u32) -> impl Iterator<Item = u32> {
    (0..=ring_len).map(|back| 0_u32.wrapping_sub(back))
}

/// Every sequence of so many priorities, of `levels` different ones.
fn sequences(levels: u8, len: u32) -> impl Iterator<Item = Vec<Priority>> {
    let digit = move |number: u32, at| (number / u32::from(levels).pow(at)) % u32::from(levels);
    let count = u32::from(levels).pow(len);
    (0..count).map(move |number| (0..len).map(|at| digit(number, at) as u8 + 1).collect())
}

fn message(priority: Priority) -> MessageEntry {
    MessageEntry {
        priority,
        ..MessageEntry::small(0, 1, 8)
    }
}

fn rise(region: &Region) -> &crate::sync::AtomicU32 {
    region.mapping().atomic_u32(RISE_OFFSET)
}

/// Fills a ring and takes everything out, with a look at the order before each entry.
fn check_order(slots: u32, position: u32, priorities: &[Priority]) {
    let (region, mut producer, mut consumer) = ring_at(slots, position);
    // As after whatever came before: the last rise was taken.
    rise(&region).store(position, Ordering::Relaxed);
    for priority in priorities {
        producer.post_message(&region, &message(*priority), &[0; 8]);
    }
    for at in 0..=priorities.len() {
        let rest = &priorities[at..];
        let falls = rest.is_sorted_by(|one, next| one >= next);
        assert_eq!(
            consumer.is_in_order(&region),
            falls,
            "{rest:?} of {priorities:?} at {position}"
        );
        if let Some((next, _)) = rest.split_first() {
            assert_eq!(
                consumer.peek(&region).map(|like| like.priority()),
                Some(*next)
            );
            consumer.pop(&region).unwrap().expect("it was posted");
        }
    }
    assert!(consumer.peek(&region).is_none());
}

// covers: RCV-1
#[test]
fn every_sequence_of_priorities_is_in_order_from_where_none_rises_any_more() {
    for (slots, levels) in [(1, 3), (2, 3), (4, 2)] {
        let ring_len = 2 * slots;
        for len in 0..=ring_len {
            for priorities in sequences(levels, len) {
                for position in around_the_wrap(ring_len) {
                    check_order(slots, position, &priorities);
                }
            }
        }
    }
}

// covers: RCV-1
#[test]
fn a_rise_counts_while_it_is_in_the_ring_and_not_for_half_of_all_positions_after() {
    let slots = 4;
    for head in positions(slots) {
        let (region, _, consumer) = ring_at(slots, head);
        let ring_len = region.layout().ring_len();
        let half = 1_u32 << 31;
        let near = |middle: u32| (0..4 * ring_len).map(move |at| middle.wrapping_add(at));
        let windows = [0_u32.wrapping_sub(2 * ring_len), half - 2 * ring_len];
        for ahead in windows.into_iter().flat_map(near) {
            // The word is one past the entry that rose.
            rise(&region).store(head.wrapping_add(ahead), Ordering::Relaxed);
            let was_taken_or_is_next = ahead <= 1 || ahead >= half;
            assert_eq!(
                consumer.is_in_order(&region),
                was_taken_or_is_next,
                "{ahead}"
            );
        }
    }
}

// covers: RCV-1
#[test]
fn a_ring_in_which_nothing_ever_rises_stays_in_order_for_any_number_of_entries() {
    let (slots, ring_len) = (4, 8);
    let quarter_len = 1_u32 << 30;
    let renewals = (0..4).map(|quarter| (quarter_len / 2).wrapping_add(quarter_len * quarter));
    for renewal in renewals {
        for before in 0..=ring_len {
            let position = renewal.wrapping_sub(before);
            let (region, mut producer, mut consumer) = ring_at(slots, position);
            producer.priority = 9;
            // As it was written last.
            let last = renewal.wrapping_sub(quarter_len);
            rise(&region).store(last, Ordering::Relaxed);
            assert!(consumer.is_in_order(&region));
            for _ in 0..ring_len {
                producer.write_message(&region, &message(9), &[0; 8]);
            }
            producer.publish(&region, ring_len);
            while consumer.pop(&region).unwrap().is_some() {}
            assert!(consumer.is_in_order(&region));
            let written = rise(&region).load(Ordering::Relaxed);
            let expected = if before == 0 { last } else { consumer.head() };
            assert_eq!(written, expected, "{before} before {renewal}");
        }
        // Up to the next one none is too long ago, wherever in a run this one came.
        for after in 0..=ring_len {
            let next = renewal.wrapping_add(quarter_len + ring_len);
            let (region, _, consumer) = ring_at(slots, next);
            rise(&region).store(renewal.wrapping_add(after), Ordering::Relaxed);
            assert!(consumer.is_in_order(&region));
        }
    }
}

#[test]
fn a_run_is_seen_as_a_whole_and_taken_up_to_the_first_entry_of_another_priority() {
    for slots in [1, 2, 4] {
        for position in positions(slots) {
            for len in 1..=2 * slots {
                for alike in 1..=len {
                    hand_over_and_take(slots, position, len, alike);
                }
            }
        }
    }
}

/// Hands `len` messages over together, of which the first `alike` have one priority and the others a lower one.
fn hand_over_and_take(slots: u32, position: u32, len: u32, alike: u32) {
    let (region, mut producer, mut consumer) = ring_at(slots, position);
    for at in 0..len {
        let priority = if at < alike { 9 } else { 8 };
        let number = u64::from(at).to_le_bytes();
        producer.write_message(&region, &message(priority), &number);
        assert!(!consumer.is_ready(&region) && consumer.peek(&region).is_none());
    }
    producer.publish(&region, len);
    assert!(consumer.is_in_order(&region));
    let like = consumer.peek(&region).expect("it was handed over");
    let lines = region.lines();
    let mut copied = Copied::default();
    for at in 0..alike {
        let taken = consumer.pop_like(&region, lines, &like, &mut copied);
        assert_ne!(taken, Ok(Taken::Nothing), "{at} of {alike}");
        assert_eq!(copied.bytes(), u64::from(at).to_le_bytes());
    }
    let after = consumer.pop_like(&region, lines, &like, &mut copied);
    assert_eq!(after, Ok(Taken::Nothing));
    assert_eq!(consumer.head(), position.wrapping_add(alike));
    for _ in alike..len {
        assert!(consumer.pop(&region).unwrap().is_some());
    }
    assert_eq!(consumer.head(), producer.tail());
    assert!(!consumer.is_ready(&region));
}
