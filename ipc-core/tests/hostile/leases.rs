//! What a batch holds of a hostile client, beside what it holds of an honest one.

use std::{thread, time::Duration};

use ipc_core::{
    BatchedMessage, Channel, Connection, MessageBatch, Pipeline, PipelineOptions,
    abi::{ChannelFlags, Errno, Nd, Pid},
};

use crate::raw::{Client, DONE, HONEST, Header, cancel};

/// Messages that the honest client has in each batch.
const HONEST_ONES: usize = 2;

/// A channel, a hostile client, an honest one, and a batch that holds a message of the first and then
/// [`HONEST_ONES`] of the second.
struct Scene {
    channel: Channel,
    hostile: Client,
    honest: Pipeline,
    batch: MessageBatch,
}

impl Scene {
    fn new() -> Scene {
        let channel = Channel::create(ChannelFlags::empty()).expect("a channel can be made");
        let mut hostile = Client::attach(channel.chid());
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid());
        let options = PipelineOptions::default();
        let mut honest = Pipeline::new(connection.expect("it accepts"), &options).expect("fresh");
        hostile.post(&HONEST, b"hello");
        for number in 0..HONEST_ONES {
            honest.submit(&[number as u8]).expect("there is room");
        }
        honest.flush();
        let mut batch = MessageBatch::with_capacity(8);
        assert_eq!(channel.receive_batch(&mut batch), Ok(None));
        assert_eq!(batch.len(), 1 + HONEST_ONES);
        Scene {
            channel,
            hostile,
            honest,
            batch,
        }
    }

    /// The hostile client's message.
    fn first(&self) -> BatchedMessage<'_> {
        self.batch.iter().next().expect("nothing is answered yet")
    }

    /// Answers the batch; the honest client gets what it sent, and `gone` messages nobody waited for.
    fn must_serve_the_honest(&mut self, gone: usize) {
        let answered = self.batch.reply_each(|message, reply| {
            let mut bytes = [0; 8];
            let len = message.read(0, &mut bytes)?;
            reply.append(&bytes[..len]);
            Ok(len as i64)
        });
        assert_eq!(answered, Ok(1 + HONEST_ONES - gone));
        for number in 0..HONEST_ONES {
            let answer = self.honest.next(None).expect("it is in flight");
            let mut bytes = [0; 8];
            let reply = answer.result.expect("it is answered");
            assert_eq!(reply.read(0, &mut bytes), 1);
            assert_eq!(bytes[0], number as u8);
        }
    }

    /// Has the channel look at what was posted since; there is nothing to receive.
    fn must_find_nothing(&self) {
        let mut other = MessageBatch::with_capacity(8);
        let found = self
            .channel
            .receive_batch_timeout(&mut other, Duration::ZERO);
        assert_eq!(found, Err(Errno::ETIMEDOUT));
    }
}

// covers: RPL-1
#[test]
fn a_batch_keeps_what_it_received_whatever_is_written_over_it() {
    let mut scene = Scene::new();
    let entry = Client::entry_at(0);
    for byte in 0..128 {
        scene.hostile.region.write(entry + byte, &[0xee]);
    }
    let message = scene.first();
    let mut bytes = [0; 16];
    assert_eq!(message.read(0, &mut bytes), Ok(5));
    assert_eq!(&bytes[..5], b"hello");
    assert_eq!((message.len(), message.reply_len_max()), (5, 16));
    assert_eq!(message.info().priority, 10);
    scene.must_serve_the_honest(0);
}

// covers: DTH-2
#[test]
fn a_slot_that_a_batch_holds_and_is_posted_again_ends_its_client_alone() {
    let mut scene = Scene::new();
    scene.hostile.post(&HONEST, b"again");
    scene.must_find_nothing();
    assert_eq!(scene.channel.stats().faults, 1);
    scene.hostile.control.until_hung_up();
    while scene.first().read(0, &mut [0; 8]).is_ok() {
        // The hang-up comes to this process a moment later.
        thread::yield_now();
    }
    scene.must_serve_the_honest(1);
}

// covers: RPL-1, CHN-2
#[test]
fn the_answer_to_a_message_that_was_given_up_never_reaches_the_next_in_its_slot() {
    let mut scene = Scene::new();
    scene.hostile.control.send(&cancel(0, 1, 3), &[]);
    while scene.first().read(0, &mut [0; 8]).is_ok() {
        thread::yield_now();
    }
    let next = Header {
        generation: 2,
        ..HONEST
    };
    scene.hostile.post(&next, b"other");
    scene.must_serve_the_honest(1);
    let word = scene.hostile.region.read_u32(Client::slot(0));
    assert_ne!(word & 15, DONE, "nobody answered the second");
    let mut second = MessageBatch::with_capacity(8);
    assert_eq!(scene.channel.receive_batch(&mut second), Ok(None));
    assert_eq!(second.reply_each(|_, _| Ok(7)), Ok(1));
    let word = scene.hostile.region.read_u32(Client::slot(0));
    assert_eq!(word, 2 << 4 | DONE);
}

// covers: CHN-2
#[test]
fn a_wish_finds_the_message_of_its_own_client_wherever_that_stood_before() {
    let mut scene = Scene::new();
    // One of these gets the place in the channel's table that the hostile client's message had.
    for number in HONEST_ONES..2 * HONEST_ONES + 1 {
        scene.honest.submit(&[number as u8]).expect("there is room");
    }
    scene.honest.flush();
    for _ in 0..3 {
        scene.hostile.control.send(&cancel(0, 1, 3), &[]);
    }
    while scene.first().read(0, &mut [0; 8]).is_ok() {
        thread::yield_now();
    }
    scene.must_serve_the_honest(1);
    let (left, mut answered) = (HONEST_ONES + 1, 0);
    while answered < left {
        assert_eq!(scene.channel.receive_batch(&mut scene.batch), Ok(None));
        answered += scene.batch.reply_each(|_, _| Ok(9)).expect("it is one");
    }
    for _ in 0..left {
        let answer = scene.honest.next(None).expect("it is in flight");
        let status = answer.result.map(|reply| reply.reply().status);
        assert_eq!(status, Ok(9));
    }
}

// covers: RPL-1
#[test]
fn wishes_for_slots_and_generations_that_a_batch_does_not_hold_have_no_effect() {
    let mut scene = Scene::new();
    for slot in [0, 1, 3, 4, u32::MAX] {
        for generation in [0, 2, u32::MAX] {
            scene
                .hostile
                .control
                .send(&cancel(slot, generation, 3), &[]);
        }
    }
    // It is after the wishes in the same socket, and is answered.
    scene.hostile.control.send(&crate::raw::header(3), &[]);
    assert!(!scene.hostile.control.receive().0.is_empty());
    assert_eq!(scene.first().read(0, &mut [0; 8]), Ok(5));
    scene.must_serve_the_honest(0);
}
