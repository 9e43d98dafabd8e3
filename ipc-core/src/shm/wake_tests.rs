//! The wake-up protocols in every order that the memory model allows, by loom.
//!
//! A wake-up that is lost leaves a thread asleep for ever: loom reports a deadlock. `cargo ci loom` runs
//! them; by hand `RUSTFLAGS="--cfg loom" cargo test -p ipc-core --lib wake_tests`.

use loom::{sync::Arc, thread};

use crate::{
    shm::{Completion, DoneSlots, Layout, Region, SlotState, Waited, doorbell::Doorbell},
    sync::{AtomicU32, Ordering, fence},
    sys::futex::MATCH_ANY,
};

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Threads change places at most so often outside of the points where they must: what goes wrong with
    // more changes goes wrong with two, in all that is known of such bugs.
    builder.preemption_bound = Some(2);
    builder.check(test);
}

/// A doorbell whose words were all used once: loom wants a word to be made before threads share it.
fn doorbell() -> Arc<Doorbell> {
    let (bell, _) = Doorbell::create().expect("memory");
    bell.set_modes(true, false);
    bell.prepare_sleep(MATCH_ANY);
    bell.ring(0);
    bell.take_ready(|_| {});
    assert!(!bell.is_any_ready());
    bell.set_modes(false, false);
    Arc::new(bell)
}

/// Sleeps on the doorbell until `found`.
fn sleep_until(bell: &Doorbell, mut found: impl FnMut() -> bool) {
    while !found() {
        let epoch = bell.prepare_sleep(MATCH_ANY);
        if found() {
            bell.cancel_sleep();
            return;
        }
        // That the epoch has moved on already is a wake-up too.
        let _ = bell.sleep(epoch, MATCH_ANY, None);
    }
}

// SYNC(doorbell), without a ready set.
#[test]
fn an_entry_posted_while_its_reader_falls_asleep_wakes_it() {
    model(|| {
        let (bell, posted) = (doorbell(), Arc::new(AtomicU32::new(0)));
        let ringer = {
            let (bell, posted) = (Arc::clone(&bell), Arc::clone(&posted));
            thread::spawn(move || {
                posted.store(1, Ordering::Release);
                bell.ring(0);
            })
        };
        sleep_until(&bell, || posted.load(Ordering::Acquire) == 1);
        ringer.join().expect("no panic");
    });
}

// SYNC(doorbell), two ringers of which only the first of an epoch pays.
#[test]
fn the_second_ringer_of_an_epoch_is_not_lost_either() {
    model(|| {
        let bell = doorbell();
        let posted = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
        let ringers = posted.clone().map(|posted| {
            let bell = Arc::clone(&bell);
            thread::spawn(move || {
                posted.store(1, Ordering::Release);
                bell.ring(0);
            })
        });
        sleep_until(&bell, || {
            posted
                .iter()
                .all(|posted| posted.load(Ordering::Acquire) == 1)
        });
        ringers
            .into_iter()
            .for_each(|ringer| ringer.join().expect("no panic"));
    });
}

// SYNC(doorbell) and SYNC(ready): bits of one word, set while they are taken.
#[test]
fn every_ready_bit_is_taken() {
    model(|| {
        let bell = doorbell();
        bell.set_modes(true, false);
        let ringers = [3, 4].map(|bit| {
            let bell = Arc::clone(&bell);
            thread::spawn(move || {
                bell.ring(bit);
            })
        });
        let mut taken = Vec::new();
        sleep_until(&bell, || {
            bell.take_ready(|bit| taken.push(bit));
            taken.len() == 2
        });
        taken.sort_unstable();
        assert_eq!(taken, [3, 4]);
        ringers
            .into_iter()
            .for_each(|ringer| ringer.join().expect("no panic"));
    });
}

// SYNC(doorbell): a ringer that has not seen the new mode set no bit; the sleeper looks at all once.
#[test]
fn an_entry_posted_while_the_ready_set_comes_into_use_is_found() {
    model(|| {
        let (bell, posted) = (doorbell(), Arc::new(AtomicU32::new(0)));
        let ringer = {
            let (bell, posted) = (Arc::clone(&bell), Arc::clone(&posted));
            thread::spawn(move || {
                posted.store(1, Ordering::Release);
                bell.ring(7);
            })
        };
        bell.set_modes(true, false);
        let mut found = posted.load(Ordering::Acquire) == 1;
        sleep_until(&bell, || {
            bell.take_ready(|bit| found |= bit == 7);
            found
        });
        ringer.join().expect("no panic");
    });
}

/// A region in which an earlier message, of generation 4, was answered; every word was used.
fn region() -> Arc<Region> {
    let layout = Layout::new(1, 0).expect("a layout");
    let (region, _) = Region::create(layout).expect("memory");
    assert!(!region.complete(0, 4, &Completion::default()));
    assert_eq!(region.wake_sleepers([0].into_iter()), 0);
    region.take_done(|slot| panic!("slot {slot} was not noted"));
    Arc::new(region)
}

/// Waits for news of generation 5 as a sender does, while `lives` says that the connection is up.
fn wait(region: &Region, mut known: SlotState, lives: impl Fn() -> bool) -> Option<Waited> {
    while lives() {
        match region.wait_slot(0, 5, known, None, &lives) {
            Ok(Waited::Interrupted) => {}
            Ok(Waited::Moved(state)) => known = state,
            Ok(Waited::Done) => return Some(Waited::Done),
            Err(error) => panic!("{error}"),
        }
    }
    None
}

/// A client falls asleep as `answer` answers its message of generation 5 with status 42.
fn answered_by(answer: fn(&Region, &Completion)) {
    model(move || {
        let region = region();
        let server = {
            let region = Arc::clone(&region);
            thread::spawn(move || {
                let completion = Completion {
                    status: 42,
                    ..Completion::default()
                };
                answer(&region, &completion);
            })
        };
        assert_eq!(
            wait(&region, SlotState::Waiting, || true),
            Some(Waited::Done)
        );
        assert_eq!(region.completion(0).status, 42);
        server.join().expect("no panic");
    });
}

// SYNC(slot)
#[test]
fn a_client_that_falls_asleep_as_its_answer_comes_gets_it() {
    answered_by(|region, completion| {
        region.complete(0, 5, completion);
    });
}

// SYNC(slot), answered with others: the server reads first how many sleep.
#[test]
fn a_client_that_falls_asleep_as_a_batch_is_answered_gets_its_answer() {
    answered_by(|region, completion| {
        let slot = region.lines().slot(0);
        slot.write_answer(completion);
        slot.publish(5);
        region.wake_sleepers([0].into_iter());
    });
}

// SYNC(done), SYNC(doorbell): what comes out of a completion queue, as the server says which.
#[test]
fn an_answer_that_is_noted_as_its_queue_looks_comes_out_of_it() {
    model(|| {
        let (region, bell) = (region(), doorbell());
        bell.set_modes(true, false);
        let server = {
            let (region, bell) = (Arc::clone(&region), Arc::clone(&bell));
            thread::spawn(move || {
                region.answer(0, 5, &Completion::default());
                let mut slots = DoneSlots::default();
                slots.add(0);
                region.note_done(&slots);
                bell.ring(3);
            })
        };
        let mut is_done = false;
        sleep_until(&bell, || {
            let mut is_rung = false;
            bell.take_ready(|_| is_rung = true);
            if is_rung {
                region.take_done(|slot| is_done |= region.is_done(slot, 5));
            }
            is_done
        });
        server.join().expect("no panic");
    });
}

// SYNC(slot)
#[test]
fn a_client_that_is_told_of_its_receipt_still_gets_its_answer() {
    model(|| {
        let region = region();
        let server = {
            let region = Arc::clone(&region);
            thread::spawn(move || {
                region.move_to(0, 5, SlotState::Received);
                region.complete(0, 5, &Completion::default());
            })
        };
        assert_eq!(
            wait(&region, SlotState::Waiting, || true),
            Some(Waited::Done)
        );
        server.join().expect("no panic");
    });
}

// SYNC(life)
#[test]
fn a_client_whose_connection_ends_as_it_falls_asleep_notices() {
    model(|| {
        let (region, over) = (region(), Arc::new(AtomicU32::new(0)));
        let monitor = {
            let (region, over) = (Arc::clone(&region), Arc::clone(&over));
            thread::spawn(move || {
                over.store(1, Ordering::Release);
                fence(Ordering::SeqCst);
                region.interrupt(0);
            })
        };
        let ended = wait(&region, SlotState::Waiting, || {
            over.load(Ordering::Acquire) == 0
        });
        assert_eq!(ended, None);
        monitor.join().expect("no panic");
    });
}
