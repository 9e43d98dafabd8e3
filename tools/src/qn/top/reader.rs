//! Reads the statistics in a thread of its own: a qnet that is stopped answers nobody, and keys and signals must be
//! seen all the same.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use crate::qn::{
    output::Fault,
    stats::{self, Stats},
};

/// The thread, from outside. It ends with the program, in the middle of a reading if need be.
pub(super) struct Reader {
    questions: Sender<()>,
    answers: Receiver<Result<Stats, Fault>>,
    /// Since when a question is open.
    asked_at: Option<Instant>,
}

impl Reader {
    /// Starts the thread; it reads the statistics of this node's qnet, or of that of another.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(node: Option<&str>) -> io::Result<Reader> {
        let node = node.map(str::to_owned);
        Reader::over(move || stats::read(node.as_deref()))
    }

    fn over(mut read: impl FnMut() -> Result<Stats, Fault> + Send + 'static) -> io::Result<Reader> {
        let (questions, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let run = move || {
            while asked.recv().is_ok() && answer.send(read()).is_ok() {}
        };
        thread::Builder::new()
            .name("statistics".into())
            .spawn(run)?;
        Ok(Reader {
            questions,
            answers,
            asked_at: None,
        })
    }

    /// Asks for a reading, unless one is awaited.
    pub(super) fn ask(&mut self) {
        if self.asked_at.is_none() {
            self.asked_at = Some(Instant::now());
            // The thread lives as long as this does.
            let _ = self.questions.send(());
        }
    }

    /// The reading that was asked for, once it has come; waits for it up to `time`.
    ///
    /// # Panics
    /// The thread did.
    pub(super) fn answer(&mut self, time: Duration) -> Option<Result<Stats, Fault>> {
        let answer = match self.answers.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => return None,
            answer => answer.expect("a reading ends in figures or a fault"),
        };
        self.asked_at = None;
        Some(answer)
    }

    /// For how long an answer is awaited, if one is.
    pub(super) fn waits_for(&self) -> Option<Duration> {
        self.asked_at.map(|at| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_reading_that_does_not_come() {
        let (go_on, may_read) = mpsc::channel();
        let mut reader = Reader::over(move || {
            may_read.recv().expect("the test lives");
            Ok(Stats::default())
        })
        .expect("a thread");
        assert!(reader.waits_for().is_none());
        reader.ask();
        reader.ask();
        assert!(reader.answer(Duration::ZERO).is_none());
        assert!(reader.waits_for().is_some());
        go_on.send(()).expect("the thread lives");
        assert!(reader.answer(Duration::MAX).expect("it has come").is_ok());
        assert!(reader.waits_for().is_none());
    }
}
