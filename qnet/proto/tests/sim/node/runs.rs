//! Messages that came together: what a node's servers make of them.

use qnet_proto::{InboundCall, InboundConn, InboundRun, OutboundCall, OutboundRun, Outgoing, Time};

use super::server::thinking_time;
use super::{Action, Later, Node};
use crate::sim::ledger::Ledger;
use crate::sim::random::Random;

/// A server has answered all of a run after so many looks at it.
const LOOKS: u64 = 3;

impl Node {
    /// Messages of the client `at`, sent together. `false` if they cannot be.
    #[allow(clippy::too_many_arguments, reason = "as its siblings")]
    pub(super) fn send_together(
        &mut self,
        now: Time,
        at: usize,
        outgoing: Outgoing,
        count: usize,
        random: &mut Random,
        ledger: &mut Ledger,
        later: &mut Later,
    ) -> bool {
        let conn = self.clients[at].conn;
        let Some(run) = self.engine.send_run(now, conn, outgoing, count) else {
            return false;
        };
        let sent: Vec<_> = (0..count).map(|_| self.compose(at, &outgoing)).collect();
        sent.iter().for_each(|sent| ledger.sent(sent.key));
        let before = self
            .holder
            .sent_runs
            .insert(run, sent.into_iter().map(Some).collect());
        assert!(before.is_none(), "a handle names one run");
        if random.chance(200) {
            let at = random.below(count as u64) as usize;
            later.push((random.below(5_000_000), Action::CancelInRun { run, at }));
        }
        if random.chance(20) {
            later.push((random.below(5_000_000), Action::Detach { conn }));
        }
        true
    }

    /// Messages of a run were answered with no more than a status.
    pub(super) fn run_replied(
        &mut self,
        run: OutboundRun,
        members: u64,
        status: i64,
        ledger: &mut Ledger,
    ) {
        let all = self
            .holder
            .sent_runs
            .get_mut(&run)
            .expect("a run that is open");
        for (at, one) in all.iter_mut().enumerate() {
            if members >> at & 1 == 1 {
                let sent = one.take().expect("answered once");
                ledger.ended(sent.key, true);
                assert_eq!(status, sent.status(), "{:?} got another's status", sent.key);
            }
        }
        if all.iter().all(Option::is_none) {
            self.holder.sent_runs.remove(&run);
        }
    }

    /// A message is a call by itself from now on.
    pub(super) fn left_run(&mut self, run: OutboundRun, at: u32, call: OutboundCall) {
        let all = self
            .holder
            .sent_runs
            .get_mut(&run)
            .expect("a run that is open");
        let sent = all[at as usize].take().expect("not answered");
        let before = self.holder.sent.insert(call, sent);
        assert!(before.is_none(), "a handle names one call");
        if all.iter().all(Option::is_none) {
            self.holder.sent_runs.remove(&run);
        }
    }

    /// A message of a run is cancelled, by itself.
    pub(super) fn cancel_in_run(
        &mut self,
        now: Time,
        run: OutboundRun,
        at: usize,
        random: &mut Random,
        ledger: &mut Ledger,
    ) {
        let left = self.engine.dissolve(run);
        for (which, call) in &left {
            self.left_run(run, *which, *call);
        }
        if let Some((_, call)) = left.into_iter().find(|(which, _)| *which as usize == at) {
            self.cancel(now, call, random, ledger);
        }
    }

    pub(super) fn run_arrived(
        &mut self,
        run: InboundRun,
        conn: InboundConn,
        random: &mut Random,
        ledger: &mut Ledger,
        later: &mut Later,
    ) {
        for arriving in self.holder.runs[&run].iter().flatten() {
            assert!(arriving.is_right(), "a message arrived with wrong bytes");
            assert_eq!(arriving.conn, conn);
            ledger.delivered(arriving.key, self.index, self.life);
        }
        for left in (0..LOOKS).rev() {
            let is_last = left == 0;
            later.push((thinking_time(random), Action::AnswerRun { run, is_last }));
        }
    }

    /// Answers some of the messages of a run, or all that are left.
    pub(super) fn answer_run(
        &mut self,
        now: Time,
        run: InboundRun,
        is_last: bool,
        random: &mut Random,
    ) {
        let count = self.holder.runs.get(&run).map_or(0, Vec::len);
        let mut bare = 0;
        for at in 0..count {
            let members = self.holder.runs.get_mut(&run).expect("found above");
            let Some(one) = members[at].as_ref() else {
                continue;
            };
            if !is_last && random.chance(400) {
                continue;
            }
            if one.is_quiet() && random.chance(950) {
                members[at] = None;
                bare |= 1 << at;
                continue;
            }
            let call = self.engine.take_out(run, at as u32);
            let call = call.expect("it is open");
            self.hold_by_itself(run, at, call);
            self.answer(now, call, random);
        }
        self.engine.reply_run(now, run, bare);
    }

    /// A message left its run.
    pub(super) fn taken_out(
        &mut self,
        run: InboundRun,
        at: u32,
        call: InboundCall,
        random: &mut Random,
        later: &mut Later,
    ) {
        self.hold_by_itself(run, at as usize, call);
        if !self.servers.contains_key(&self.holder.arriving[&call].conn) {
            // It was answered with the end of its connection.
            self.answered.insert(call, ());
        }
        later.push((thinking_time(random), Action::Answer { call }));
    }

    fn hold_by_itself(&mut self, run: InboundRun, at: usize, call: InboundCall) {
        let members = self.holder.runs.get_mut(&run).expect("a run that is open");
        let arriving = members[at].take().expect("neither answered nor taken out");
        let before = self.holder.arriving.insert(call, arriving);
        assert!(before.is_none(), "a handle names one call");
    }

    pub(super) fn run_done(&mut self, run: InboundRun) {
        let members = self.holder.runs.remove(&run).expect("a run that is open");
        assert!(members.iter().all(Option::is_none), "all are over");
    }
}
