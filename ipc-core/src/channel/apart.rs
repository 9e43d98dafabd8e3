//! Short messages that are received together and answered apart: in any order, each at its time.
//!
//! For who passes messages on, as a router does, and has many under way that say little. They share one lease, as those of
//! a batch do, and get a place in the channel's table only if something becomes of them that needs one: a client that
//! wants out, a reader of the channel's state, an answer other than a status.

use std::sync::Arc;

use crate::{
    abi::{
        Chid, ClientInfo, Coid, Errno, Nd, Pid, Priority, Rcvid, Result, Tid,
        limits::{APART_MIN, BATCH_MAX},
    },
    channel::{
        Inner,
        batch::Leased,
        leases::{Items, Run},
        message::{Prepared, ReceivedMessage},
        running,
        state::State,
    },
    shm::{Completion, DoneSlots, EntryFlags},
    sys::{
        failpoint::{self, Failpoint},
        futex::Wake,
    },
};

/// Short messages of one connection and one priority, whose senders take no bytes of a reply and are REPLY-blocked.
///
/// Made once and used for one [`try_receive_apart`](super::Channel::try_receive_apart) after the other. What is dropped
/// unanswered fails with `EIO` and is counted (RPL-6).
#[derive(Debug)]
pub struct MessagesApart {
    max: usize,
    items: Arc<Items>,
    lease: Option<Leased>,
    /// Messages that are not answered.
    left: usize,
    /// Reused between answers: those that are handed over now.
    ours: Vec<(usize, i64)>,
}

impl MessagesApart {
    /// Room for at most `max` messages, 1 to [`BATCH_MAX`], at a time.
    ///
    /// # Panics
    /// When `max` is 0.
    pub fn with_capacity(max: usize) -> MessagesApart {
        assert!(max > 0, "room for no messages would never receive any");
        MessagesApart {
            max: max.min(BATCH_MAX),
            items: Arc::default(),
            lease: None,
            left: 0,
            ours: Vec::new(),
        }
    }

    /// Messages that were received together, the answered ones among them; none once all are answered.
    pub fn len(&self) -> usize {
        match self.lease {
            Some(_) => self.items.len(),
            None => 0,
        }
    }

    /// Whether every message is answered.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Messages that are not answered.
    pub fn left(&self) -> usize {
        self.left
    }

    fn run(&self) -> Option<&Run> {
        self.lease.as_ref().and(self.items.runs.first())
    }

    /// Which connection they came through: a number that no other connection of this process ever has.
    pub fn connection_id(&self) -> Option<u64> {
        self.run().map(|run| run.attached.id)
    }

    /// The server they are really meant for, on a router's channel.
    pub fn target(&self) -> Option<(Nd, Pid, Chid)> {
        self.run()?.attached.target
    }

    /// Who sent them: the kernel's word.
    pub fn client(&self) -> Option<ClientInfo> {
        self.run().map(|run| run.attached.client)
    }

    /// What the client calls the connection.
    pub fn coid(&self) -> Option<Coid> {
        self.run().map(|run| run.attached.coid)
    }

    /// What they were sent at.
    pub fn priority(&self) -> Option<Priority> {
        self.run().map(|run| run.priority)
    }

    /// The bytes of message `at`, which the receiver has copied; none of one that there is not.
    #[inline]
    pub fn bytes(&self, at: usize) -> &[u8] {
        match at < self.len() {
            true => self.items.item(at).bytes(),
            false => &[],
        }
    }

    /// The thread that sent message `at`, if there is one.
    pub fn tid(&self, at: usize) -> Option<Tid> {
        let run = self.run().filter(|_| at < self.items.len())?;
        Some(self.items.item(at).entry(&run.attached.region).tid)
    }

    /// Which message has this receive id, if one does: those have none until their client wants out, or somebody asks
    /// what the channel holds.
    pub fn position(&self, id: Rcvid) -> Option<usize> {
        let leased = self.lease.as_ref()?;
        let state = leased.channel.lock_own().ok()?;
        state.leases.position(leased.id, id)
    }

    /// Answers messages, each with a status, 0 or more: their senders' sends answer that. One that is answered already, or
    /// whose client gave up, is passed over. It is left to the caller to wake the clients that sleep: what is added
    /// to `wakes` must be made soon.
    ///
    /// # Errors
    /// `EINVAL` for a negative status, and then nothing is answered; `ESRCH` in a forked child.
    #[doc(alias = "MsgReply")]
    pub fn reply_quietly(&mut self, answers: &[(usize, i64)], wakes: &mut Vec<Wake>) -> Result<()> {
        if answers.iter().any(|(_, status)| *status < 0) {
            return Err(Errno::EINVAL);
        }
        let Some(leased) = &self.lease else {
            return Ok(());
        };
        let channel = &leased.channel;
        self.ours.clear();
        self.ours.extend_from_slice(answers);
        let mut state = channel.lock_own()?;
        self.left = state.answer_apart(leased.id, &self.items, &mut self.ours);
        drop(state);
        failpoint::pass(Failpoint::ReplyTaken);
        let before = wakes.len();
        hand_over(&self.items, &self.ours, wakes);
        channel.counters.wakes_sent.add(wakes.len() - before);
        if self.left == 0 {
            self.end();
        }
        Ok(())
    }

    /// Takes message `at` out, for another answer than a status, or by another thread. `None` for one that is answered or
    /// was taken out before.
    pub fn take(&mut self, at: usize) -> Option<ReceivedMessage> {
        let leased = self.lease.as_ref().filter(|_| at < self.items.len())?;
        let mut state = leased.channel.lock_own().ok()?;
        let undisturbed = self.items.is_undisturbed();
        let id = state.take_apart(leased.id, at)?;
        let message = self.items.in_flight(at);
        let attached = &self.items.run_of(at).attached;
        let prepared = Prepared::new(&leased.channel, None);
        let message = ReceivedMessage::new(prepared, attached, id, &message);
        if !undisturbed {
            // It may have left the table before it was made, and must ask it.
            leased.channel.ended.add_one();
        }
        self.left -= 1;
        if self.left == 0 {
            state.leases.end(leased.id);
            drop(state);
            self.end();
        }
        Some(message)
    }

    /// The lease has ended.
    fn end(&mut self) {
        self.lease = None;
        self.left = 0;
        Items::forget_connections(&mut self.items);
    }

    /// Fails what is not answered.
    fn give_up(&mut self) {
        for at in 0..self.len() {
            drop(self.take(at));
        }
        // In a forked child, whose parent's they are.
        self.end();
    }
}

impl Drop for MessagesApart {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Hands answers over to messages that were taken out of the lease; adds the wake-ups of who sleeps beside one.
fn hand_over(items: &Items, answers: &[(usize, i64)], wakes: &mut Vec<Wake>) {
    let (Some(run), false) = (items.runs.first(), answers.is_empty()) else {
        return;
    };
    let (attached, region) = (&run.attached, &run.attached.region);
    let lines = region.lines();
    for (at, status) in answers {
        let answer = Completion {
            status: *status,
            ..Completion::default()
        };
        lines.slot(items.item(*at).slot()).write_answer(&answer);
    }
    // The last one first, as with a batch: see `staging`.
    for (at, _) in answers.iter().rev() {
        let item = items.item(*at);
        lines.slot(item.slot()).publish(item.generation());
    }
    failpoint::pass(Failpoint::AnswersPublished);
    let completions = attached.completions.as_ref();
    let (mut done, mut is_async) = (DoneSlots::default(), false);
    for (at, _) in answers {
        let item = items.item(*at);
        if item.flags().contains(EntryFlags::ASYNC) && completions.is_some() {
            is_async = true;
            done.add(item.slot());
        } else {
            wakes.extend(region.owed_wake(item.slot()));
        }
    }
    if let Some((bell, bit)) = completions.filter(|_| is_async) {
        region.note_done(&done);
        wakes.extend(bell.owed_ring(*bit));
    }
}

/// Takes messages into `apart`, whose last are answered first, as those of a batch are: with `EIO`. Answers whether there
/// were any.
///
/// # Errors
/// `ESRCH` once the channel is destroyed, and in a forked child.
pub(super) fn receive(channel: &Arc<Inner>, apart: &mut MessagesApart) -> Result<bool> {
    apart.give_up();
    if Arc::get_mut(&mut apart.items).is_none() {
        apart.items = Arc::default();
    }
    let items = Arc::get_mut(&mut apart.items).expect("invariant: its lease has ended");
    items.clear();
    let mut state = channel.lock_own()?;
    if state.closed {
        return Err(Errno::ESRCH);
    }
    if !state.receive_apart(items, apart.max) {
        return Ok(false);
    }
    let id = state.leases.enter(&apart.items);
    state.counts.messages += apart.items.len() as u64;
    drop(state);
    failpoint::pass(Failpoint::Received);
    running::follow(channel, apart.items.item(0).priority());
    apart.left = apart.items.len();
    let channel = Arc::clone(channel);
    apart.lease = Some(Leased { channel, id });
    Ok(true)
}

impl State {
    /// Takes short messages that expect no bytes into `items`, which is empty, `max` at most, if they are next in the order
    /// of receipt and are [`APART_MIN`] or more.
    fn receive_apart(&mut self, items: &mut Items, max: usize) -> bool {
        if self.routed.has_any() || !self.take_only_run(items, max) {
            return false;
        }
        let is_fit = |run: &Run| {
            run.all.contains(EntryFlags::INLINE)
                && !run.any.contains(EntryFlags::REPORT_RECEIVE)
                && items
                    .part(&run.range)
                    .iter()
                    .all(|item| item.reply_len() == 0)
        };
        if items.len() < APART_MIN || !items.runs.iter().all(is_fit) {
            self.put_back(items);
            return false;
        }
        true
    }

    /// Takes messages of a lease out for their answers: their slots may be used again. Leaves in `answers` those that are
    /// still to be answered, and answers how many of the lease there are beside them; after the last one it ends.
    fn answer_apart(&mut self, id: u64, items: &Items, answers: &mut Vec<(usize, i64)>) -> usize {
        let replies = self.counts.replies;
        let lease = self.leases.lease(id);
        answers.retain(|(at, _)| lease.mark(*at));
        let left = lease.left();
        if !items.is_undisturbed() {
            let adopted = std::mem::take(&mut self.leases.lease(id).adopted);
            for (at, rcvid) in &adopted {
                if let Some(among) = answers.iter().position(|(other, _)| other == at)
                    && self.answer(*rcvid).is_err()
                {
                    answers.remove(among);
                }
            }
            self.leases.lease(id).adopted = adopted;
        }
        let run = items.runs.first().filter(|_| !self.closed);
        match run.and_then(|run| self.connected(run.index, &run.attached)) {
            Some(connected) => answers
                .iter()
                .for_each(|(at, _)| connected.vacate(items.item(*at).slot())),
            None => answers.clear(),
        }
        self.counts.replies = replies + answers.len() as u64;
        if left == 0 {
            self.leases.end(id);
        }
        left
    }

    /// The receive id of message `at` of a lease, which is no longer the lease's; `None` if it was not before.
    fn take_apart(&mut self, id: u64, at: usize) -> Option<Rcvid> {
        if self.leases.lease(id).is_marked(at) {
            return None;
        }
        let rcvid = self.rcvid_of_leased(id, at);
        self.leases.lease(id).mark(at);
        Some(rcvid)
    }
}
