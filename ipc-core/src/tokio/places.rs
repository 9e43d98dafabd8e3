//! The places of one connection, and the tasks that wait for one.
//!
//! A place that becomes free goes to the task that has waited longest, before anybody else can look: a task that
//! sends again and again could otherwise take its own place back for ever. Only where it is too small for that task
//! may it go to one behind it. Nobody is held up by what does not fit: a task may hold a reply while it sends, and two
//! of them would wait for each other.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::tokio::sync::oneshot;

use crate::{
    abi::{Errno, Result},
    connection::{Connection, Loan},
};

/// A connection and who waits for room in it.
pub(super) struct Places {
    pub(super) connection: Connection,
    line: Mutex<Line>,
}

/// Room for one message. Dropped unsent it goes to the next task.
pub(super) struct Place {
    /// Empty once it is sent, or given back.
    loan: Option<Loan>,
    places: Arc<Places>,
}

/// The tasks that wait, by when they came. All of them were refused what was free when they, or somebody, last looked.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    seen: u64,
}

struct Waiting {
    id: u64,
    needs: Needs,
    place: oneshot::Sender<Result<Place>>,
}

/// Bytes of a message and of its reply.
#[derive(Clone, Copy)]
struct Needs {
    len: usize,
    reply_len: usize,
}

/// A task's place in the line. Dropped, it leaves the line.
struct Turn<'a> {
    places: &'a Places,
    id: u64,
    place: oneshot::Receiver<Result<Place>>,
}

impl Places {
    pub(super) fn new(connection: Connection) -> Arc<Places> {
        Arc::new(Places {
            connection,
            line: Mutex::default(),
        })
    }

    /// A place for a message of `len` bytes with a reply of up to `reply_len`, as soon as one is free.
    ///
    /// # Errors
    /// As [`Connection::loan`], but never `EAGAIN`.
    pub(super) async fn reserve(self: &Arc<Places>, len: usize, reply_len: usize) -> Result<Place> {
        let needs = Needs { len, reply_len };
        let mut turn = {
            let mut line = self.line();
            // What somebody has just given back, and is about to say so, is for those who came before.
            self.serve_line(&mut line);
            match self.take(needs) {
                Err(Errno::EAGAIN) => line.join(self, needs),
                outcome => return outcome,
            }
        };
        let place = (&mut turn.place).await;
        place.expect("invariant: who stands in the line is answered")
    }

    /// Something has become free, or the connection has ended: those who wait get what there is.
    pub(super) fn serve(self: &Arc<Places>) {
        self.serve_line(&mut self.line());
    }

    fn serve_line(self: &Arc<Places>, line: &mut Line) {
        let mut refused: Option<Needs> = None;
        let mut at = 0;
        while let Some(waiting) = line.waiting.get(at) {
            let needs = waiting.needs;
            if refused.is_some_and(|refused| refused.fits_into(needs)) {
                at += 1;
                continue;
            }
            let outcome = self.take(needs);
            if matches!(outcome, Err(Errno::EAGAIN)) {
                refused = Some(needs);
                at += 1;
                continue;
            }
            let waiting = line.waiting.remove(at).expect("invariant: it was there");
            if let Err(Ok(mut unwanted)) = waiting.place.send(outcome) {
                // Without telling anybody: what it was is still to be given away here.
                unwanted.loan = None;
                refused = None;
                at = 0;
            }
        }
    }

    fn take(self: &Arc<Places>, needs: Needs) -> Result<Place> {
        let loan = self.connection.loan(needs.len, needs.reply_len)?;
        Ok(Place {
            loan: Some(loan),
            places: Arc::clone(self),
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What the message is written to.
    pub(super) fn loan(&mut self) -> &mut Loan {
        self.loan
            .as_mut()
            .expect("invariant: held until it is sent")
    }

    /// The loan, whose sender gives the place back from now on.
    pub(super) fn into_loan(mut self) -> Loan {
        self.loan.take().expect("invariant: held until it is sent")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            drop(loan);
            self.places.serve();
        }
    }
}

impl Line {
    fn join<'a>(&mut self, places: &'a Places, needs: Needs) -> Turn<'a> {
        let (sender, place) = oneshot::channel();
        self.seen += 1;
        let id = self.seen;
        self.waiting.push_back(Waiting {
            id,
            needs,
            place: sender,
        });
        Turn { places, id, place }
    }
}

impl Needs {
    /// Whether there is room for this wherever there is for `other`.
    fn fits_into(self, other: Needs) -> bool {
        self.len <= other.len && self.reply_len <= other.reply_len
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut line = self.places.line();
        if let Ok(at) = line.waiting.binary_search_by_key(&self.id, |w| w.id) {
            line.waiting.remove(at);
        }
        // One that was given a place meanwhile drops it with the receiver, after the lock.
    }
}
