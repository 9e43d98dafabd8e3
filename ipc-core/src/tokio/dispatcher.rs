//! The thread that takes answers out of the shared completion queue and wakes the tasks they belong to.
//!
//! It knows tokens and whom they stand for, and no message. It runs from the first attach of a process
//! to its end, asleep on the queue's doorbells while nothing comes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use ::tokio::sync::oneshot;

use crate::{
    abi::{Errno, Result},
    connection::{Completion, CompletionQueue, LoanReply, Token},
    sys::{fork::PerLife, own_thread},
    tokio::places::Places,
};

/// The dispatcher of this process. A forked child gets one of its own.
pub(super) struct Dispatcher {
    pub(super) queue: CompletionQueue,
    expected: Mutex<HashMap<Token, Expected>>,
    next_token: AtomicU64,
}

/// An answer that is to come.
struct Expected {
    answer: oneshot::Sender<Result<LoanReply>>,
    /// The connection's: told when an answer nobody wants any more has given its place back.
    places: Weak<Places>,
}

impl Dispatcher {
    /// The dispatcher of this process, started if this is the first use.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `EAGAIN`: no descriptor or thread left.
    pub(super) fn current() -> Result<Arc<Dispatcher>> {
        static CURRENT: PerLife<Mutex<Option<Arc<Dispatcher>>>> = PerLife::new();
        let current = CURRENT.get().lock();
        let mut current = current.unwrap_or_else(PoisonError::into_inner);
        if let Some(dispatcher) = &*current {
            return Ok(Arc::clone(dispatcher));
        }
        let dispatcher = Dispatcher::start()?;
        *current = Some(Arc::clone(&dispatcher));
        Ok(dispatcher)
    }

    fn start() -> Result<Arc<Dispatcher>> {
        let dispatcher = Arc::new(Dispatcher {
            queue: CompletionQueue::new()?,
            expected: Mutex::default(),
            next_token: AtomicU64::new(0),
        });
        let runner = Arc::clone(&dispatcher);
        let builder = thread::Builder::new()
            .name("ipc-completions".into())
            .stack_size(256 << 10);
        own_thread::start(builder, move || runner.run()).map_err(|error| Errno::of(&error))?;
        Ok(dispatcher)
    }

    /// A token for a message that is about to be submitted, and where its answer will be.
    pub(super) fn expect(
        &self,
        places: Weak<Places>,
    ) -> (Token, oneshot::Receiver<Result<LoanReply>>) {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        self.expected().insert(token, Expected { answer, places });
        (token, receiver)
    }

    /// The message was not submitted after all.
    pub(super) fn forget(&self, token: Token) {
        self.expected().remove(&token);
    }

    fn run(&self) {
        loop {
            // A signal that was handled on this thread is no reason to stop; nothing else goes wrong.
            if let Ok(completion) = self.queue.next(None) {
                self.dispatch(completion);
            }
        }
    }

    fn dispatch(&self, completion: Completion) {
        let expected = self.expected().remove(&completion.token);
        let Some(Expected { answer, places }) = expected else {
            return;
        };
        if let Err(unwanted) = answer.send(completion.result) {
            drop(unwanted);
            places.upgrade().iter().for_each(Places::serve);
        }
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<Token, Expected>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
