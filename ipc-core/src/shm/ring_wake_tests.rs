//! The ring's hand-over in every order that the memory model allows, by loom: what the consumer takes is what
//! the producer wrote, also where the ring is used again, and nothing is written while it is read.

use loom::{sync::Arc, thread};

use crate::{
    abi::{Errno, PulseCode},
    shm::{Completion, Consumer, Entry, Layout, MessageEntry, Producer, PulseEntry, Region},
};

/// Messages in flight; the ring has room for as many pulses beside them.
const SLOTS: u32 = 1;

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

fn pulse(value: i64) -> PulseEntry {
    PulseEntry {
        priority: 1,
        code: PulseCode(2),
        value,
        stamp_ns: value.unsigned_abs(),
    }
}

fn message(generation: u32) -> MessageEntry {
    MessageEntry::small(0, generation, 16)
}

/// A region and the two ends of its ring, every word and line of which was used once: loom wants them made
/// before threads share them.
fn ring() -> (Arc<Region>, Producer, Consumer) {
    let (region, _) = Region::create(Layout::new(SLOTS, 0).expect("a layout")).expect("memory");
    let (mut producer, mut consumer) = (Producer::default(), Consumer::default());
    for generation in 1..=2 * SLOTS {
        producer.post_message(&region, &message(generation), &[0; 16]);
        assert!(matches!(
            consumer.pop(&region),
            Ok(Some(Entry::Message(..)))
        ));
        region.write_reply_inline(0, 0, &[0; 16]);
        region.complete(0, generation, &Completion::default());
    }
    consumer.publish_head(&region);
    (Arc::new(region), producer, consumer)
}

/// The next entry, once there is one.
fn next(consumer: &mut Consumer, region: &Region) -> Entry {
    loop {
        match consumer.pop(region).expect("the producer is honest") {
            Some(entry) => return entry,
            None => thread::yield_now(),
        }
    }
}

// covers: PLS-2
#[test]
fn pulses_come_out_as_written_also_where_the_ring_is_used_again() {
    model(|| {
        let (region, mut producer, mut consumer) = ring();
        let sender = {
            let region = Arc::clone(&region);
            thread::spawn(move || {
                for value in 1..=3 {
                    while let Err(error) = producer.post_pulse(&region, &pulse(value)) {
                        assert_eq!(error, Errno::EAGAIN);
                        thread::yield_now();
                    }
                }
            })
        };
        for value in 1..=3 {
            assert_eq!(next(&mut consumer, &region), Entry::Pulse(pulse(value)));
            consumer.publish_head(&region);
        }
        sender.join().expect("no panic");
    });
}

// covers: SND-1
#[test]
fn a_message_and_its_answer_are_handed_over_and_the_slot_is_used_again() {
    model(|| {
        let (region, mut producer, mut consumer) = ring();
        let server = {
            let region = Arc::clone(&region);
            thread::spawn(move || {
                for _ in 0..2 {
                    let Entry::Message(entry, inline) = next(&mut consumer, &region) else {
                        panic!("a message was sent");
                    };
                    // Without the head: a message's own slot is why there is room for it.
                    let answer: Vec<u8> =
                        inline.bytes()[..16].iter().map(|byte| byte + 1).collect();
                    region.write_reply_inline(0, 0, &answer);
                    let completion = Completion {
                        len: 16,
                        status: i64::from(entry.generation),
                        ..Completion::default()
                    };
                    region.complete(entry.slot, entry.generation, &completion);
                }
            })
        };
        for generation in 5..7 {
            let sent = [generation as u8; 16];
            producer.post_message(&region, &message(generation), &sent);
            while !region.is_done(0, generation) {
                thread::yield_now();
            }
            assert_eq!(region.completion(0).status, i64::from(generation));
            let mut got = [0; 16];
            assert_eq!(region.read_reply_inline(0, 0, &mut got), 16);
            assert_eq!(got, [generation as u8 + 1; 16]);
        }
        server.join().expect("no panic");
    });
}
