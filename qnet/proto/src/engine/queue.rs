//! What waits to be sent to one peer, and what of it goes first.

use std::collections::{BTreeMap, VecDeque};

use super::LinkPolicy;
use super::tables::Tables;
use crate::wire::Side;
use crate::{
    Cancel, Errno, InboundCall, InboundRun, OutboundCall, OutboundConn, OutboundRun, Pulse,
};

/// Messages and replies up to this length go before longer ones, first come first served.
pub(super) const SMALL_LEN: u32 = 4096;
/// Every so many frames the oldest long message goes first, before everything else.
pub(super) const OLDEST_EVERY: u32 = 8;

/// A record that is sent until it is acknowledged, complete in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Cancel {
        call: OutboundCall,
        conn: OutboundConn,
        id: u64,
        cancel: Cancel,
    },
    Detach {
        conn: u64,
        to: Side,
        errno: Errno,
    },
    Grant {
        call: InboundCall,
        id: u64,
        limit: u32,
    },
    Received {
        call: InboundCall,
        id: u64,
    },
    PulseServer {
        conn: OutboundConn,
        sequence: u64,
        pulse: Pulse,
    },
    PulseClient {
        conn: u64,
        sequence: u64,
        pulse: Pulse,
    },
}

/// A short message, or several that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgo {
    Call(OutboundCall),
    Run(OutboundRun),
}

impl Outgo {
    pub(super) fn run(self) -> Option<OutboundRun> {
        match self {
            Outgo::Run(run) => Some(run),
            Outgo::Call(_) => None,
        }
    }
}

/// A short reply, or the bare ones of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Call(InboundCall),
    Run(InboundRun),
}

/// A long message or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bulk {
    Message(OutboundCall),
    Reply(InboundCall),
}

/// What waits to be sent to one peer, by the links that it may take.
#[derive(Default)]
pub(super) struct Queues {
    any: Queue,
    /// Of the policies that name a link; never more than two for each link.
    bound: Vec<(LinkPolicy, Queue)>,
    /// Counts frames: which queue has the first place in the next.
    turn: usize,
}

impl Queues {
    pub(super) fn is_empty(&self) -> bool {
        self.any.is_empty() && self.bound.iter().all(|(_, queue)| queue.is_empty())
    }

    /// The only queue, if no policy that names a link was ever used.
    pub(super) fn only(&self) -> Option<&Queue> {
        self.bound.is_empty().then_some(&self.any)
    }

    /// The queue of a policy, made when it is first used.
    pub(super) fn of(&mut self, policy: LinkPolicy) -> &mut Queue {
        if policy == LinkPolicy::LoadBalance {
            return &mut self.any;
        }
        let known = self.bound.iter().position(|(its, _)| *its == policy);
        let at = known.unwrap_or_else(|| {
            self.bound.push((policy, Queue::default()));
            self.bound.len() - 1
        });
        &mut self.bound[at].1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkPolicy, &Queue)> {
        let bound = self.bound.iter().map(|(policy, queue)| (*policy, queue));
        std::iter::once((LinkPolicy::LoadBalance, &self.any)).chain(bound)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkPolicy, &mut Queue)> {
        let bound = self.bound.iter_mut();
        let bound = bound.map(|(policy, queue)| (*policy, queue));
        std::iter::once((LinkPolicy::LoadBalance, &mut self.any)).chain(bound)
    }

    /// Calls `visit` with each queue, another one first each time.
    pub(super) fn in_turn(&mut self, mut visit: impl FnMut(LinkPolicy, &mut Queue)) {
        if self.bound.is_empty() {
            return visit(LinkPolicy::LoadBalance, &mut self.any);
        }
        let count = 1 + self.bound.len();
        self.turn = (self.turn + 1) % count;
        for step in 0..count {
            match (self.turn + step) % count {
                0 => visit(LinkPolicy::LoadBalance, &mut self.any),
                at => {
                    let (policy, queue) = &mut self.bound[at - 1];
                    visit(*policy, queue);
                }
            }
        }
    }
}

/// What waits to be sent to one peer and has one policy.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) control: VecDeque<Control>,
    /// Replies before messages: a message may have to wait for a reply, never the other way round.
    pub(super) replies: VecDeque<Reply>,
    pub(super) messages: VecDeque<Outgo>,
    /// What stands in `messages` where a run does that has dissolved: to look for its place would cost what waits before it,
    /// and many runs may dissolve at one time.
    spread: BTreeMap<OutboundRun, Vec<OutboundCall>>,
    /// Messages that were begun before. They pass new ones: those may have to wait for a number until
    /// these have arrived.
    pub(super) begun: VecDeque<OutboundCall>,
    /// In order of age.
    pub(super) bulk: Vec<Bulk>,
    turn: u32,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.replies.is_empty()
            && self.messages.is_empty()
            && self.begun.is_empty()
            && self.bulk.is_empty()
    }

    pub(super) fn push_message(&mut self, call: OutboundCall, len: u32) {
        if len <= SMALL_LEN {
            self.messages.push_back(Outgo::Call(call));
        } else {
            self.bulk.push(Bulk::Message(call));
        }
    }

    /// The messages of a run that wait are calls by themselves now, at its place.
    pub(super) fn spread(&mut self, run: OutboundRun, calls: Vec<OutboundCall>) {
        self.spread.insert(run, calls);
    }

    /// Puts the calls of a run that has dissolved, if it has, at its place, which is the first.
    pub(super) fn spread_first(&mut self, run: OutboundRun) -> bool {
        let Some(calls) = self.spread.remove(&run) else {
            return false;
        };
        self.messages.pop_front();
        for call in calls.into_iter().rev() {
            self.messages.push_front(Outgo::Call(call));
        }
        true
    }

    /// Short messages that have ended leave the line.
    pub(super) fn drop_ended(&mut self, tables: &Tables) {
        let is_open = |call: &OutboundCall| tables.out_call(*call).is_some();
        self.spread.retain(|_, calls| calls.iter().any(is_open));
        self.messages.retain(|outgo| match outgo {
            Outgo::Call(call) => is_open(call),
            Outgo::Run(run) => tables.out_run(*run).is_some() || self.spread.contains_key(run),
        });
    }

    /// Queues what is left of a message that was begun.
    pub(super) fn push_begun(&mut self, call: OutboundCall, len: u32) {
        if len <= SMALL_LEN {
            self.begun.push_back(call);
        } else {
            self.bulk.push(Bulk::Message(call));
        }
    }

    pub(super) fn push_reply(&mut self, call: InboundCall, len: u32) {
        if len <= SMALL_LEN {
            self.replies.push_back(Reply::Call(call));
        } else {
            self.bulk.push(Bulk::Reply(call));
        }
    }

    /// Counts a frame; true if the oldest long message has the first place in it.
    pub(super) fn next_turn(&mut self) -> bool {
        self.turn = (self.turn + 1) % OLDEST_EVERY;
        self.turn == 0 && !self.bulk.is_empty()
    }
}
