//! Many messages answered together.

use std::sync::Arc;

use super::{ReceivedMessage, reply_answer, tell};
use crate::{
    channel::{Inner, attached::Attached},
    shm::{DoneSlots, EntryFlags},
};

/// Answers each of `answers` with its status, which is not negative, and no bytes: all under one lock. Clients
/// that gave up are passed over. See [`crate::Channel::reply_all`].
pub(in crate::channel) fn reply_all(channel: &Inner, answers: &mut Vec<(ReceivedMessage, i64)>) {
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
    let same = |one: &(ReceivedMessage, i64), next: &(ReceivedMessage, i64)| {
        Arc::ptr_eq(&one.0.attached, &next.0.attached)
    };
    for run in answers.chunk_by(same) {
        tell_run(channel, &run[0].0.attached, run);
    }
    answers.clear();
}

/// Tells the client of one connection of answers that were handed over: its completion queue once, and whoever
/// sleeps on a slot by itself.
fn tell_run(channel: &Inner, attached: &Attached, run: &[(ReceivedMessage, i64)]) {
    let mut done = DoneSlots::default();
    let mut is_async = false;
    for (message, _) in run {
        let entry = &message.message.entry;
        if entry.flags.contains(EntryFlags::ASYNC) && attached.completions.is_some() {
            is_async = true;
            done.add(entry.slot);
        } else {
            tell(channel, attached, &message.message);
        }
    }
    if let Some((bell, bit)) = attached.completions.as_ref().filter(|_| is_async) {
        attached.region.note_done(&done);
        if bell.ring(*bit) {
            channel.counters.wakes_sent.add_one();
        }
    }
}
