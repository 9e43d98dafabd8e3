//! Receiving: take what is there, look a little, sleep.

use std::sync::Arc;

use crate::{
    abi::{Errno, Pulse, Result},
    channel::{
        Inner,
        message::{Prepared, ReceivedMessage},
        running,
        sleepers::Sleeper,
        state::State,
    },
    shm::Doorbell,
    spin::{self, Budget},
    srr::{Delivery, Want},
    sync::MutexGuard,
    sys::{
        clock,
        failpoint::{self, Failpoint},
        futex::{self, FutexWord},
    },
};

/// What a receive brings.
#[derive(Debug)]
pub enum Received {
    /// A message; its sender is REPLY-blocked until it is answered.
    Message(ReceivedMessage),
    /// A pulse: nobody waits.
    Pulse(Pulse),
}

/// Where a receiver sleeps: on the one doorbell there is, or on all of them.
enum Bed {
    One(Arc<Doorbell>, u32),
    Many(Vec<FutexWord>),
}

/// Waits for what `want` says, until `deadline_ns`; 0 means not at all.
pub(super) fn receive(
    channel: &Arc<Inner>,
    want: Want,
    deadline_ns: Option<u64>,
) -> Result<Received> {
    let mut state = channel.lock_own()?;
    let (mut looked, mut is_polite, mut place) = (false, true, None);
    let (mut prepared, mut gave) = (None, None);
    loop {
        if state.closed {
            return Err(Errno::ESRCH);
        }
        state.drain();
        let delivery = state.receive(want);
        if let Some(gave) = gave.take() {
            channel.spin.way.came_back(gave, delivery.is_some());
        }
        if let Some(delivery) = delivery {
            return Ok(deliver(channel, state, delivery, prepared));
        }
        let is_over = |deadline| deadline == 0 || deadline <= clock::monotonic_ns();
        if deadline_ns.is_some_and(is_over) {
            return Err(Errno::ETIMEDOUT);
        }
        if !looked {
            looked = true;
            if let Some(budget) = channel.spin.budget() {
                prepared = Some(Prepared::new(channel, state.only_connection()));
                state = look(channel, state, budget);
                continue;
            }
        }
        // Nothing is kept mapped that a client left behind meanwhile.
        prepared = None;
        if std::mem::take(&mut is_polite) && channel.spin.way.is_due() {
            drop(state);
            gave = Some(spin::give_way());
            state = channel.lock();
            continue;
        }
        state = sleep(channel, state, want, deadline_ns, &mut place)?;
    }
}

/// Takes up to `max` messages and pulses without waiting: see [`super::Channel::try_receive_many`].
pub(super) fn receive_many(
    channel: &Arc<Inner>,
    max: usize,
    into: &mut Vec<Received>,
) -> Result<usize> {
    let mut state = channel.lock_own()?;
    if state.closed {
        return Err(Errno::ESRCH);
    }
    state.drain();
    let before = into.len();
    while into.len() - before < max
        && let Some(delivery) = state.receive(Want::Anything)
    {
        into.push(match delivery {
            Delivery::Message(id) => {
                let (message, _) = state.table.blocked(id).expect("invariant: just received");
                let prepared = Prepared::new(channel, None);
                let attached = state.attached(message);
                Received::Message(ReceivedMessage::new(prepared, attached, id, message))
            }
            Delivery::Pulse(pulse, _) => Received::Pulse(pulse),
        });
    }
    pass_on(&state);
    drop(state);
    failpoint::pass(Failpoint::Received);
    if let Some(Received::Message(first)) = into.get(before) {
        running::follow(channel, first.priority());
    }
    Ok(into.len() - before)
}

fn deliver(
    channel: &Arc<Inner>,
    state: MutexGuard<'_, State>,
    delivery: Delivery,
    prepared: Option<Prepared>,
) -> Received {
    if !state.sleepers.is_empty() {
        // What this thread leaves behind is somebody else's wake-up (SYNC(doorbell): only the first
        // ringer of an epoch wakes anyone).
        let others_find = state
            .sleepers
            .iter()
            .any(|sleeper| state.table.has_any(sleeper.want));
        if others_find {
            state.wake_a_receiver();
        }
    }
    match delivery {
        Delivery::Message(id) => {
            let (message, _) = state.table.blocked(id).expect("invariant: just received");
            let prepared = prepared.unwrap_or_else(|| Prepared::new(channel, None));
            let message = ReceivedMessage::new(prepared, state.attached(message), id, message);
            drop(state);
            failpoint::pass(Failpoint::Received);
            running::follow(channel, message.priority());
            Received::Message(message)
        }
        Delivery::Pulse(pulse, _) => {
            drop(state);
            failpoint::pass(Failpoint::PulseReceived);
            running::follow(channel, pulse.priority);
            Received::Pulse(pulse)
        }
    }
}

/// Looks at the connections without the lock, as long as looking pays.
pub(super) fn look<'a>(
    channel: &'a Inner,
    mut state: MutexGuard<'a, State>,
    budget: Budget,
) -> MutexGuard<'a, State> {
    if let Some(direct) = state.lend_direct() {
        drop(state);
        let won = channel
            .spin
            .look(budget, || direct.iter().any(|attached| attached.is_ready()));
        let mut state = channel.lock();
        state.give_back(direct);
        state.counts.looked(won);
        return state;
    }
    let bells: Vec<Arc<Doorbell>> = state.bells.iter().map(Arc::clone).collect();
    drop(state);
    let won = channel
        .spin
        .look(budget, || bells.iter().any(|bell| bell.is_any_ready()));
    let mut state = channel.lock();
    state.counts.looked(won);
    state
}

/// Sleeps until there may be something for the caller, who looks again. What a thread wants that came to wait
/// later is left to that thread (RCV-2), whoever happened to be woken for it.
pub(super) fn sleep<'a>(
    channel: &'a Inner,
    mut state: MutexGuard<'a, State>,
    want: Want,
    deadline_ns: Option<u64>,
    place: &mut Option<u64>,
) -> Result<MutexGuard<'a, State>> {
    loop {
        let sleeper = state.new_sleeper(want, *place);
        *place = Some(sleeper.id);
        let bed = make_bed(&state);
        state.drain();
        let is_mine = state.table.has_any(want) && !state.newer_finds(sleeper.id);
        if is_mine || state.closed {
            leave_bed(&mut state, sleeper);
            return Ok(state);
        }
        // A ringer that took the flag down before this thread announced itself wakes by the mask that it finds,
        // which is this thread's now: what came for others is this thread's to pass on.
        state.call_other(sleeper.id);
        drop(state);
        let slept = match &bed {
            Bed::One(bell, epoch) => bell.sleep(*epoch, sleeper.mask, deadline_ns),
            Bed::Many(words) => futex::wait_any(words, deadline_ns),
        };
        state = channel.lock();
        leave_bed(&mut state, sleeper);
        let is_anothers = state.newer_finds(sleeper.id);
        if is_anothers || !state.table.has_any(want) {
            state.call_other(sleeper.id);
        }
        match slept {
            // A doorbell that was no longer used may have gone, with its word.
            Ok(()) | Err(Errno::EAGAIN | Errno::EFAULT) if is_anothers && !state.closed => {}
            // A time-out is final only if nothing came meanwhile: the caller looks once more.
            Ok(()) | Err(Errno::EAGAIN | Errno::ETIMEDOUT | Errno::EFAULT) => return Ok(state),
            Err(error) if state.table.has_any(want) => {
                // What came goes to this thread; the signal was handled all the same.
                debug_assert_eq!(error, Errno::EINTR);
                return Ok(state);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Wakes a sleeper for what this thread leaves behind: only the first ringer of an epoch wakes anyone,
/// and it may have woken a thread that wants something else.
pub(super) fn pass_on(state: &State) {
    if state
        .sleepers
        .iter()
        .any(|sleeper| state.table.has_any(sleeper.want))
    {
        state.wake_a_receiver();
    }
}

/// Announces a sleeper, by the mask of the last to wait: it is the one to be woken.
fn make_bed(state: &State) -> Bed {
    let newest = state
        .sleepers
        .last()
        .expect("invariant: one is about to sleep");
    match state.bells.only() {
        Some(bell) => Bed::One(Arc::clone(bell), bell.prepare_sleep(newest.mask)),
        None => {
            let words = state
                .bells
                .iter()
                .map(|b| b.futex_word(b.prepare_sleep(newest.mask)));
            Bed::Many(words.collect())
        }
    }
}

/// A thread no longer sleeps; those that still do are announced again, and woken if what came
/// meanwhile is for them.
fn leave_bed(state: &mut State, sleeper: Sleeper) {
    state.sleepers.retain(|other| other.id != sleeper.id);
    match state.sleepers.last().copied() {
        None => state.bells.iter().for_each(|bell| bell.cancel_sleep()),
        Some(next) => {
            for bell in state.bells.iter() {
                bell.prepare_sleep(next.mask);
            }
            state.drain();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::abi::ChannelFlags;

    // covers: RCV-2
    #[test]
    fn a_thread_that_was_woken_in_vain_keeps_its_place() {
        let mut state = State::new(ChannelFlags::empty(), Arc::default()).unwrap();
        let first = state.new_sleeper(Want::Anything, None);
        let second = state.new_sleeper(Want::Anything, None);
        state.sleepers.retain(|other| *other != first);
        assert_eq!(state.new_sleeper(Want::Anything, Some(first.id)), first);
        assert_eq!(state.sleepers, [first, second]);
        let third = state.new_sleeper(Want::Pulse, None);
        assert_eq!(state.sleepers.last(), Some(&third));
    }
}
