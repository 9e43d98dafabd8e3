//! One round of the thread in the ring: what it needs is armed, it sleeps, and completions are reaped.
//!
//! Knows the operations, not their memory: each part arms its own and is told of its completions.

use std::{mem, time::Duration};

use io_uring::{cqueue, types};
use qnet_proto::{LinkId, Time};

use super::{
    RingLink,
    operation::{self, Operation},
    send::HandedOver,
    setup,
};
use crate::{
    driver::{LinkError, clock, link::wait_outcome},
    limits::COMPLETIONS_AT_REST,
};

impl RingLink {
    /// Submits what is queued, sleeps for up to `timeout` while there is nothing to do, and takes note of
    /// all that completed: [`crate::driver::Link::wait_until`].
    pub(super) fn round(&mut self, now: Time, timeout: Option<Duration>) -> Result<(), LinkError> {
        let (mut now, mut timeout) = (now, timeout);
        let wants_sleep = timeout != Some(Duration::ZERO);
        self.arm(wants_sleep)?;
        let mut may_sleep = wants_sleep && self.has_nothing();
        let woke = self.wakes.take_woke();
        let spins = !self.spin.is_zero();
        let has_rung = woke && self.bells.are_ready();
        if may_sleep && (has_rung || spins || woke && self.wakes.is_way_due()) {
            let has_something = match spins {
                _ if has_rung => true,
                true => self.spin(now, timeout)?,
                false => self.give_way(now)?,
            };
            if has_something {
                self.may_have_rung = true;
                self.enter(now, Some(Duration::ZERO))?;
                return self.reap().map(drop);
            }
            let after = clock::now();
            timeout = timeout.map(|timeout| timeout.saturating_sub(after - now));
            may_sleep = timeout != Some(Duration::ZERO);
            now = after;
        }
        let nothing_changed = mem::take(&mut self.nothing_changed);
        let sleeps = may_sleep && ((self.announced && nothing_changed) || self.announce()?);
        if !sleeps {
            self.retract();
        }
        self.may_have_rung = !sleeps || !self.bells.tell_of_rings();
        let timeout = if sleeps {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        self.enter(now, timeout)?;
        self.reap()?;
        // After a frame by itself the thread is asleep again before anybody rings, most likely: then the
        // announcement is still good. Who rings all the same makes a system call, and wakes the thread.
        if self.may_have_rung || self.reception.has_many() {
            self.retract();
        }
        Ok(())
    }

    /// Announces the sleep to the doorbells; `false` if there is something to do already.
    fn announce(&mut self) -> Result<bool, LinkError> {
        self.announced = true;
        self.bells.arm(&mut self.ring)
    }

    pub(super) fn retract(&mut self) {
        if mem::take(&mut self.announced) {
            self.bells.retract();
        }
    }

    /// Submits what is queued and sleeps for `span`: [`crate::driver::Link::rest`].
    ///
    /// No sleep is announced to the doorbells, so that ringing them costs nothing. The kernel puts off wakes for
    /// frames while more completions are wanted than it has; a sleep on a doorbell's word from before would
    /// end it at once.
    pub(super) fn round_at_rest(&mut self, span: Duration) -> Result<(), LinkError> {
        self.arm(false)?;
        self.reception.disarm(&mut self.ring)?;
        self.may_have_rung = true;
        self.nothing_changed = false;
        self.retract();
        if self.has_nothing() {
            let timespec = types::Timespec::from(span);
            let args = types::SubmitArgs::new().timespec(&timespec);
            self.send_gathered()?;
            let want = self.transmission.in_flight() + COMPLETIONS_AT_REST;
            self.note_entry();
            wait_outcome(self.ring.submitter().submit_with_args(want, &args))?;
        } else {
            self.enter(Time::default(), Some(Duration::ZERO))?;
        }
        self.reap().map(drop)
    }

    /// Has with the kernel all that is to be there in any round, and what is to end a sleep if there may be one.
    fn arm(&mut self, may_sleep: bool) -> Result<(), LinkError> {
        self.reception.give_back_current();
        while let Some((port, errno)) = self.reception.take_failure() {
            let interface = &self.sockets[usize::from(port)].interface;
            let outcome = interface.still_there_after(errno);
            self.outlive(port, outcome)?;
        }
        self.reception.arm(&mut self.ring, may_sleep)?;
        self.poke.arm(&mut self.ring)?;
        let news = setup::carrier_file(self.sockets.len());
        self.carriers.arm(&mut self.ring, news)
    }

    pub(super) fn has_nothing(&self) -> bool {
        self.reception.is_empty() && !self.carriers.has_change()
    }

    /// Enters the kernel with all that is queued; `Some(ZERO)` does not sleep there.
    pub(super) fn enter(&mut self, now: Time, timeout: Option<Duration>) -> Result<(), LinkError> {
        self.send_gathered()?;
        // Timers that run out too late are left alone: this sleep has its own end.
        let timeout = match timeout {
            Some(timeout) if !timeout.is_zero() && self.arm_alarm(now, timeout)? => None,
            timeout => timeout,
        };
        let mut submission = self.ring.submission();
        submission.sync();
        let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        // Every send completes while it is submitted; the sleep is for one completion more.
        let want = self.transmission.in_flight() + 1;
        let outcome = match timeout {
            Some(Duration::ZERO) if idle => return Ok(()),
            Some(Duration::ZERO) => self.ring.submit(),
            None => self.ring.submit_and_wait(want),
            Some(timeout) => {
                let timespec = types::Timespec::from(timeout);
                let args = types::SubmitArgs::new().timespec(&timespec);
                self.ring.submitter().submit_with_args(want, &args)
            }
        };
        self.note_entry();
        wait_outcome(outcome)
    }

    /// The kernel was entered, and has taken all that was queued.
    fn note_entry(&mut self) {
        self.waits += 1;
        let mut all = 0;
        for (queued, counters) in self.queued.iter_mut().zip(&mut self.counters) {
            let queued = mem::take(queued);
            counters.batches.count(queued);
            all += queued;
        }
        self.batches.count(all);
    }

    /// Hands over the frames that do not go through the ring.
    pub(super) fn send_gathered(&mut self) -> Result<(), LinkError> {
        let gathered = (self.transmission).send_gathered(&self.sockets, &mut self.counters);
        let Some(HandedOver {
            port,
            count,
            outcome,
        }) = gathered
        else {
            return Ok(());
        };
        let at = usize::from(port);
        self.queued[at] -= count;
        self.counters[at].batches.count(count);
        self.waits += 1;
        self.batches.count(count);
        self.outlive(port, outcome)
    }

    /// Has a timer with the kernel that ends a sleep of `timeout` in time; `false` if all that there are run
    /// out too late.
    fn arm_alarm(&mut self, now: Time, timeout: Duration) -> Result<bool, LinkError> {
        if !self.alarms.cover(now, timeout)
            && let Some((number, start)) = self.alarms.start(now, timeout)
        {
            // SAFETY: the entry points to the span that `self.alarms` keeps boxed and does not touch while the
            // timer runs; the kernel copies it when the entry is submitted.
            unsafe { operation::push(&mut self.ring, Operation::Alarm(number), start)? };
        }
        Ok(self.alarms.cover(now, timeout))
    }

    /// Tells each part of what completed. Answers whether anything did that the thread waits for: neither sends nor
    /// timers nor cancellations.
    ///
    /// # Errors
    /// The interface has gone; further completions stay in the queue.
    pub(super) fn reap(&mut self) -> Result<bool, LinkError> {
        let mut has_awaited = false;
        self.reception.look_again();
        while let Some(completion) = self.next_completion() {
            has_awaited |= Operation::of(&completion).is_awaited();
            self.completed(&completion)?;
        }
        Ok(has_awaited)
    }

    fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    fn completed(&mut self, completion: &cqueue::Entry) -> Result<(), LinkError> {
        match Operation::of(completion) {
            Operation::Receive(port) => {
                let at = usize::from(port);
                let (socket, counters) = (&self.sockets[at], &mut self.counters[at]);
                // SAFETY: the completion is a receive's and was just taken out of the queue of the one ring
                // that the link has; `reap`, the only caller, passes each on once.
                let outcome =
                    unsafe { self.reception.completed(port, completion, socket, counters) };
                self.outlive(port, outcome)?;
            }
            Operation::Send(slot) => {
                let port = self.transmission.port_of(slot);
                let at = usize::from(port);
                let (socket, counters) = (&self.sockets[at], &mut self.counters[at]);
                let result = completion.result();
                let outcome =
                    self.transmission
                        .completed(slot, result, &socket.interface, counters);
                self.outlive(port, outcome)?;
            }
            Operation::Carrier => self.carriers.completed(&self.sockets),
            Operation::Poke => self.poke.completed(),
            Operation::Bell(number) => {
                self.bells.completed(number);
                self.may_have_rung = true;
            }
            Operation::Cancel => self.bells.cancelled(),
            // Its receive completes itself, whether it was found or had ended.
            Operation::CancelReceive => {}
            // The word is not mapped any more, and nobody sleeps there.
            Operation::Wake => {}
            Operation::Alarm(number) => self.alarms.ended(number),
        }
        Ok(())
    }

    /// A port whose interface was removed has no carrier any more; the link lives as long as its last port.
    fn outlive(&mut self, port: u8, outcome: Result<(), LinkError>) -> Result<(), LinkError> {
        let Err(error) = outcome else {
            return Ok(());
        };
        if !self.reception.close_port(port) {
            return Err(error);
        }
        tracing::warn!("{error}; the other interfaces go on");
        self.carriers.gone(LinkId(port));
        Ok(())
    }
}
