//! Work for a thread of its own, for callers that wait for it only so long.
//!
//! The thread comes with the first piece of work and goes after the last. Pieces are done in the order in which they
//! were given, whether or not anybody still waits for them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::sys::{mutex::lock, own_thread};

#[derive(Default)]
pub(super) struct Background {
    queue: Mutex<Queue>,
    /// Somebody waited in vain, and not everything is done since.
    is_late: AtomicBool,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    has_thread: bool,
}

type Piece = Box<dyn FnOnce() + Send>;

/// What one piece of work comes to, and whether it is still wanted.
struct Outcome<T> {
    said: Mutex<Said<T>>,
    changed: Condvar,
}

enum Said<T> {
    Nothing,
    Done(T),
    /// Nobody waits any more.
    Unwanted,
}

impl Background {
    /// Has `act` done and waits for its outcome; `None` after `timeout`. An outcome that comes later is given to `undo`.
    pub(super) fn ask<T: Send + 'static>(
        &'static self,
        timeout: Duration,
        act: impl FnOnce() -> T + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) -> Option<T> {
        let outcome = Arc::new(Outcome {
            said: Mutex::new(Said::Nothing),
            changed: Condvar::new(),
        });
        let told = Arc::clone(&outcome);
        self.give(move || {
            if let Err(unwanted) = told.tell(act()) {
                undo(unwanted);
            }
        });
        let done = outcome.wait(timeout);
        if done.is_none() {
            self.is_late.store(true, Ordering::Relaxed);
        }
        done
    }

    /// Has `act` done and waits until it is, for `timeout` at most, and not at all behind something that was waited
    /// for in vain.
    pub(super) fn hand(&'static self, timeout: Duration, act: impl FnOnce() + Send + 'static) {
        if self.is_late.load(Ordering::Relaxed) {
            self.give(act);
        } else {
            self.ask(timeout, act, drop);
        }
    }

    fn give(&'static self, act: impl FnOnce() + Send + 'static) {
        let mut queue = lock(&self.queue);
        queue.pieces.push_back(Box::new(act));
        if std::mem::replace(&mut queue.has_thread, true) {
            return;
        }
        drop(queue);
        let builder = thread::Builder::new().name("qnet-procmgr".to_owned());
        if own_thread::start(builder, || self.work()).is_err() {
            // With no thread to be had, the caller takes the time.
            self.work();
        }
    }

    fn work(&self) {
        loop {
            let mut queue = lock(&self.queue);
            let Some(piece) = queue.pieces.pop_front() else {
                queue.has_thread = false;
                self.is_late.store(false, Ordering::Relaxed);
                return;
            };
            drop(queue);
            piece();
        }
    }
}

impl<T> Outcome<T> {
    /// Leaves it to who waits; nobody does if it comes back.
    fn tell(&self, outcome: T) -> Result<(), T> {
        let mut said = lock(&self.said);
        if matches!(*said, Said::Unwanted) {
            return Err(outcome);
        }
        *said = Said::Done(outcome);
        self.changed.notify_one();
        Ok(())
    }

    fn wait(&self, timeout: Duration) -> Option<T> {
        let is_open = |said: &mut Said<T>| matches!(said, Said::Nothing);
        let waited = self
            .changed
            .wait_timeout_while(lock(&self.said), timeout, is_open);
        let (mut said, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *said, Said::Unwanted) {
            Said::Done(outcome) => Some(outcome),
            Said::Nothing | Said::Unwanted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{LazyLock, mpsc};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn pieces_are_done_in_order_and_their_outcomes_come_back() {
        static BACKGROUND: LazyLock<Background> = LazyLock::new(Background::default);
        let background: &'static Background = &BACKGROUND;
        for round in 0..100 {
            assert_eq!(background.ask(LONG, move || round, drop), Some(round));
        }
    }

    #[test]
    fn who_waited_in_vain_goes_on_and_what_came_too_late_is_undone_in_its_turn() {
        static BACKGROUND: LazyLock<Background> = LazyLock::new(Background::default);
        let background: &'static Background = &BACKGROUND;
        let (go, wait) = mpsc::channel::<()>();
        let (note, noted) = mpsc::channel();
        let (undone, handed) = (note.clone(), note);
        let stuck = move || wait.recv().map_or(0, |()| 7);
        let asked = background.ask(Duration::ZERO, stuck, move |outcome| {
            undone.send(outcome).expect("the test waits");
        });
        assert_eq!(asked, None);
        // Behind it nobody waits, or this would take as long as the test may.
        background.hand(LONG, move || handed.send(8).expect("the test waits"));
        assert!(noted.try_recv().is_err());
        go.send(()).expect("it waits");
        assert_eq!((noted.recv(), noted.recv()), (Ok(7), Ok(8)));
        assert_eq!(background.ask(LONG, || 9, drop), Some(9));
    }
}
