//! Names that are looked up over the network, and the way their answers go to the resource-manager
//! thread.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ipc_core::{
    Channel,
    abi::{Errno, Nd, PulseCode, Result, limits::PRIORITY_DEFAULT},
};
use qnet_proto::{Mac, NodeName, Time};

/// The pulse that tells the resource-manager thread of an answer.
pub(crate) const RESOLVED: PulseCode = PulseCode(1);

/// How a name was resolved.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The name.
    pub(crate) name: NodeName,
    /// This node's descriptor for it, or why there is none.
    pub(crate) outcome: Result<Nd>,
    /// What went over the wire for it, if anything did.
    pub(crate) transaction: Option<Transaction>,
}

/// The network transaction that a resolution took: step 2a of the walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    /// Where the node answered from.
    pub(crate) mac: Option<Mac>,
    /// Bytes of the question's frame.
    pub(crate) sent_len: usize,
    /// Bytes of the answer's frame; 0 when none came.
    pub(crate) reply_len: usize,
    /// From the question to the answer.
    pub(crate) elapsed: Duration,
}

/// Answers on their way to the resource-manager thread, which is woken by a pulse.
#[derive(Clone)]
pub(crate) struct Answers(Arc<Inner>);

struct Inner {
    channel: Arc<Channel>,
    waiting: Mutex<VecDeque<Answer>>,
}

impl Answers {
    /// Answers that wake who receives on `channel`.
    pub(crate) fn new(channel: Arc<Channel>) -> Answers {
        Answers(Arc::new(Inner {
            channel,
            waiting: Mutex::default(),
        }))
    }

    pub(super) fn put(&self, answer: Answer) {
        self.waiting().push_back(answer);
        // A full queue of pulses means that the thread has wake-ups enough to come.
        let _ = self.0.channel.send_pulse(PRIORITY_DEFAULT, RESOLVED, 0);
    }

    /// The resource-manager thread's side.
    pub(crate) fn take(&self) -> Option<Answer> {
        self.waiting().pop_front()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Answer>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The resolutions that are under way.
#[derive(Default)]
pub(super) struct Resolving(HashMap<NodeName, Question>);

struct Question {
    since: Time,
    sent_len: usize,
}

impl Resolving {
    /// Whether a question for the name is under way; notes a new one.
    pub(super) fn begin(&mut self, name: NodeName, now: Time) -> bool {
        let mut is_new = false;
        self.0.entry(name).or_insert_with(|| {
            is_new = true;
            let (since, sent_len) = (now, 0);
            Question { since, sent_len }
        });
        !is_new
    }

    /// A frame went to all stations: it asks for what was not asked for yet.
    pub(super) fn broadcast(&mut self, len: usize) {
        for question in self
            .0
            .values_mut()
            .filter(|question| question.sent_len == 0)
        {
            question.sent_len = len;
        }
    }

    /// The question for `name` has ended; `reply_len` is the frame's that ended it.
    pub(super) fn end(
        &mut self,
        name: NodeName,
        now: Time,
        outcome: std::result::Result<(Nd, Option<Mac>), Errno>,
        reply_len: usize,
    ) -> Option<Answer> {
        let question = self.0.remove(&name)?;
        let transaction = (question.sent_len > 0).then(|| Transaction {
            mac: outcome.ok().and_then(|(_, mac)| mac),
            sent_len: question.sent_len,
            reply_len: if outcome.is_ok() { reply_len } else { 0 },
            elapsed: now - question.since,
        });
        Some(Answer {
            name,
            outcome: outcome.map(|(nd, _)| nd),
            transaction,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_ends_once_and_says_what_it_took() {
        let name = NodeName::new("wintermute").unwrap();
        let mut resolving = Resolving::default();
        assert!(!resolving.begin(name, Time(1_000)));
        assert!(resolving.begin(name, Time(2_000)));
        resolving.broadcast(70);
        resolving.broadcast(99);
        let answer = resolving
            .end(name, Time(5_000), Ok((Nd(4), Some(Mac([2; 6])))), 80)
            .unwrap();
        let transaction = answer.transaction.unwrap();
        assert_eq!(answer.outcome, Ok(Nd(4)));
        assert_eq!((transaction.sent_len, transaction.reply_len), (70, 80));
        assert_eq!(transaction.elapsed, Duration::from_nanos(4_000));
        assert!(
            resolving
                .end(name, Time(6_000), Err(Errno::ENOENT), 0)
                .is_none()
        );
    }

    #[test]
    fn a_name_that_was_known_took_no_transaction() {
        let name = NodeName::new("wintermute").unwrap();
        let mut resolving = Resolving::default();
        resolving.begin(name, Time(1));
        let answer = resolving.end(name, Time(1), Ok((Nd(1), None)), 0).unwrap();
        assert!(answer.transaction.is_none());
    }
}
