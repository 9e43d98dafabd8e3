//! Many messages answered together.

use std::sync::Arc;

use super::{ReceivedMessage, reply_answer};
use crate::{
    channel::{Inner, attached::Attached},
    shm::{DoneSlots, EntryFlags},
    sys::{
        failpoint::{self, Failpoint},
        futex::Wake,
    },
};

/// Answers each of `answers` with its status, which is not negative, and no bytes: all under one lock. Clients
/// that gave up are passed over. Who sleeps beside its answer is added to `wakes`. See
/// [`crate::Channel::reply_all_quietly`].
pub(in crate::channel) fn reply_all(
    channel: &Inner,
    answers: &mut Vec<(ReceivedMessage, i64)>,
    wakes: &mut Vec<Wake>,
) {
    let Ok(mut state) = channel.lock_own() else {
        // A forked child: what it drops here fails nobody.
        return answers.clear();
    };
    answers.retain_mut(|(message, status)| {
        message.answered = true;
        let Ok(written) = state.answer(message.id) else {
            return false;
        };
        let answer = reply_answer(written, *status, 0);
        message.message.answer(&message.attached, &answer);
        true
    });
    drop(state);
    failpoint::pass(Failpoint::AnswersPublished);
    let same = |one: &(ReceivedMessage, i64), next: &(ReceivedMessage, i64)| {
        Arc::ptr_eq(&one.0.attached, &next.0.attached)
    };
    let before = wakes.len();
    for run in answers.chunk_by(same) {
        tell_run(&run[0].0.attached, run, wakes);
    }
    let owed = wakes.len() - before;
    channel.counters.wakes_sent.add(owed);
    answers.clear();
}

/// Finds who is to be told of the answers of one connection that were handed over: its completion queue once, and
/// whoever sleeps on a slot by itself.
fn tell_run(attached: &Attached, run: &[(ReceivedMessage, i64)], wakes: &mut Vec<Wake>) {
    let mut done = DoneSlots::default();
    let mut is_async = false;
    for (message, _) in run {
        let entry = &message.message.entry;
        if entry.flags.contains(EntryFlags::ASYNC) && attached.completions.is_some() {
            is_async = true;
            done.add(entry.slot);
        } else {
            wakes.extend(message.message.owed_wake(attached));
        }
    }
    if let Some((bell, bit)) = attached.completions.as_ref().filter(|_| is_async) {
        attached.region.note_done(&done);
        wakes.extend(bell.owed_ring(*bit));
    }
}
