//! The servers of a node: what they answer, and when.

use qnet_proto::{InboundCall, InboundConn, Pulse, Time};

use super::{Action, Later, Node, SERVER_ERROR};
use crate::sim::ledger::Ledger;
use crate::sim::random::Random;

impl Node {
    pub(super) fn answer(&mut self, now: Time, call: InboundCall, random: &mut Random) {
        let Some(arriving) = self.holder.arriving.get(&call) else {
            return;
        };
        if self.answered.contains_key(&call) {
            return;
        }
        let (key, reply_len, conn) = (arriving.key, arriving.reply_len, arriving.conn);
        if arriving.is_quiet() {
            return self.answer_quiet(now, conn);
        }
        // Some say so only with the answer, some never.
        if random.chance(700) {
            self.engine.received(now, call);
        }
        self.answered.insert(call, ());
        if random.chance(50) {
            return self
                .engine
                .error(now, call, SERVER_ERROR)
                .expect("not answered yet");
        }
        let len = key.reply_len(reply_len);
        if len >= 4 && random.chance(100) {
            // Scattered writes that together make up the whole.
            let (a, b) = (len / 4, len / 2);
            let extents = [0..a, a..b, b..len];
            return self
                .engine
                .reply_extents(now, call, key.status(), &extents)
                .expect("not answered yet");
        }
        self.engine
            .reply(now, call, key.status(), len)
            .expect("not answered yet");
    }

    /// Answers all that a connection's client expects no bytes for and that have arrived, newest first.
    pub(super) fn answer_quiet(&mut self, now: Time, conn: InboundConn) {
        let its = self.holder.arriving.iter().rev();
        let quiet: Vec<InboundCall> = its
            .filter(|(_, one)| one.conn == conn && one.is_quiet() && one.has_arrived)
            .map(|(call, _)| *call)
            .filter(|call| !self.answered.contains_key(call))
            .collect();
        for call in quiet {
            self.answered.insert(call, ());
            self.engine
                .reply(now, call, 0, 0)
                .expect("not answered yet");
        }
    }

    pub(super) fn arrived(
        &mut self,
        now: Time,
        call: InboundCall,
        conn: InboundConn,
        random: &mut Random,
        ledger: &mut Ledger,
        later: &mut Later,
    ) {
        assert!(
            self.holder.arriving[&call].is_right(),
            "a message arrived with wrong bytes"
        );
        assert_eq!(self.holder.arriving[&call].conn, conn);
        ledger.delivered(self.holder.arriving[&call].key, self.index, self.life);
        self.holder.has_arrived(call);
        later.push((thinking_time(random), Action::Answer { call }));
        if random.chance(100)
            && let Some((sent, _)) = self.servers.get_mut(&conn)
        {
            let pulse = Pulse {
                code: 2,
                priority: 9,
                value: *sent,
            };
            *sent += 1;
            self.engine
                .pulse_client(now, conn, pulse)
                .expect("few pulses are on their way");
        }
    }
}

/// How long a server takes for its answer.
pub(super) fn thinking_time(random: &mut Random) -> u64 {
    match random.below(100) {
        0 => 2_500_000_000,
        1..10 => random.below(100_000_000),
        10..30 => random.below(5_000_000),
        _ => random.below(300_000),
    }
}
