//! Threads that receive on one channel, in every order that the memory model allows, by loom: each finds what came
//! for it, whoever was woken. It is the product's own receive, from the ring to the futex.

use std::sync::Arc;

use loom::thread;

use super::{
    test_client::{Client, channel},
    *,
};

/// Messages in flight; the ring has room for as many pulses beside them.
const SLOTS: u32 = 2;

/// Words of stack that a receive takes; what loom gives a thread unasked is less.
const STACK_LEN: usize = 1 << 15;

fn model(test: impl Fn() + Sync + Send + 'static) {
    let test = Arc::new(test);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        // On a thread whose stack is long enough.
        let test = Arc::clone(&test);
        spawn(move || test()).join().expect("no panic");
    });
}

fn spawn<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    let spawned = thread::Builder::new().stack_size(STACK_LEN).spawn(act);
    spawned.expect("loom has room for it")
}

/// Receives without answering: what a dropped message does is none of this.
fn receive(channel: &Arc<Inner>, want: Want) -> Result<bool> {
    let received = receive::receive(channel, want, None)?;
    Ok(match received {
        Received::Message(message) => {
            message.into_rcvid();
            true
        }
        Received::Pulse(_) => false,
    })
}

/// A channel all of whose words and lines were used once: loom wants them made before threads share them.
fn used_channel() -> (Arc<Inner>, Client) {
    let channel = channel(ChannelFlags::empty());
    let mut client = Client::attach(&channel, SLOTS);
    for generation in 0..SLOTS {
        client.send(generation, 1);
        client.send_pulse();
        for _ in 0..2 {
            receive(&channel, Want::Anything).expect("it is there");
        }
    }
    let mut state = channel.lock();
    let ids: Vec<Rcvid> = state.table.reply_blocked().map(|(id, _)| id).collect();
    for id in ids {
        state.answer(id).expect("it waits");
    }
    drop(state);
    let bell = Arc::clone(&client.doorbell);
    bell.prepare_sleep(1);
    bell.kick();
    bell.cancel_sleep();
    (channel, client)
}

// SYNC(doorbell), by two masks: the second ring may come while the first wakes somebody.
// covers: RCV-2
#[test]
fn two_that_sleep_on_a_channel_get_the_two_messages_that_come() {
    model(|| {
        let (channel, mut client) = used_channel();
        let receivers = [(); 2].map(|()| {
            let channel = Arc::clone(&channel);
            spawn(move || receive(&channel, Want::Anything))
        });
        client.send(0, 2);
        client.send(1, 2);
        for receiver in receivers {
            assert_eq!(receiver.join().expect("no panic"), Ok(true));
        }
    });
}

// SYNC(doorbell), by two masks: whoever is woken for what it does not want wakes the other.
// covers: RCV-4, CHN-1
#[test]
fn one_that_sleeps_for_pulses_beside_one_that_takes_anything_keeps_nothing_from_it() {
    model(|| {
        let (channel, mut client) = used_channel();
        let for_pulses = {
            let channel = Arc::clone(&channel);
            spawn(move || receive(&channel, Want::Pulse))
        };
        let for_anything = {
            let channel = Arc::clone(&channel);
            spawn(move || {
                let mut pulses = 0;
                while receive(&channel, Want::Anything) == Ok(false) {
                    pulses += 1;
                }
                pulses
            })
        };
        client.send_pulse();
        client.send(0, 2);
        let taken = for_anything.join().expect("no panic");
        if taken > 0 {
            // Nothing is left for the other.
            channel.close();
        }
        let expected = if taken > 0 {
            Err(Errno::ESRCH)
        } else {
            Ok(false)
        };
        assert_eq!(for_pulses.join().expect("no panic"), expected);
    });
}

// SYNC(doorbell), by two masks: the ringer wakes by the mask of the last to wait, whatever that wants.
// covers: RCV-4
#[test]
fn a_message_that_wakes_who_sleeps_for_pulses_reaches_who_sleeps_for_anything() {
    model(|| {
        let (channel, mut client) = used_channel();
        let [for_anything, for_pulses] = [Want::Anything, Want::Pulse].map(|want| {
            let channel = Arc::clone(&channel);
            spawn(move || receive(&channel, want))
        });
        client.send(0, 2);
        assert_eq!(for_anything.join().expect("no panic"), Ok(true));
        client.send_pulse();
        assert_eq!(for_pulses.join().expect("no panic"), Ok(false));
    });
}
