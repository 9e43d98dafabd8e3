//! Crowds: short messages of local clients that came together, and wait for their answers apart.
//!
//! A message by itself costs its place in the channel's table, two counted handles and a copy; those of a crowd share all
//! of that. One that needs more than a status leaves its crowd, and is as if it had come by itself.

use ipc_core::{
    Channel, MessagesApart, ReceivedMessage, Wake,
    abi::{Errno, Rcvid},
};
use qnet_proto::{Engine, OutboundCall, OutboundRun, Outgoing, limits::RUN_MESSAGES_MAX};

use crate::{
    bridge::{
        Turn,
        outbound::{Held, Outbound, Sender, Waiting, local_errno},
    },
    limits::{CROWD_MIN, CROWDS_MAX, MESSAGES_PER_ROUND},
};

/// A message of a crowd: whose, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) crowd: usize,
    pub(super) at: usize,
}

/// What a message of a crowd waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    ForCall(OutboundCall),
    ForRun(OutboundRun),
    /// Nothing: it could not be sent.
    No,
}

/// Messages that came together, and what they wait for, in their order.
struct Crowd {
    messages: MessagesApart,
    waits: Vec<Waits>,
}

/// All crowds. Those whose messages are answered are used again.
#[derive(Default)]
pub(super) struct Crowds {
    crowds: Vec<Crowd>,
    /// Those without messages.
    free: Vec<usize>,
    /// Replies that are to be handed over together, and whose they are.
    replies: Vec<(usize, i64)>,
    replied: Option<usize>,
}

impl Crowds {
    /// Takes the next crowd that local clients sent, if there is one and room for it: the others must be few, as each
    /// keeps the memory of a whole one, however little of it waits.
    pub(super) fn receive(&mut self, channel: &Channel) -> Option<usize> {
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.crowds.len() < CROWDS_MAX => {
                self.crowds.push(Crowd {
                    messages: MessagesApart::with_capacity(MESSAGES_PER_ROUND),
                    waits: Vec::new(),
                });
                self.crowds.len() - 1
            }
            None => return None,
        };
        self.crowds[at].waits.clear();
        // An error is one of the channel, which whoever receives from it otherwise reports.
        match channel.try_receive_apart(&mut self.crowds[at].messages) {
            Ok(true) => Some(at),
            _ => {
                self.free.push(at);
                None
            }
        }
    }

    /// The messages of a crowd.
    pub(super) fn messages(&self, crowd: usize) -> &MessagesApart {
        &self.crowds[crowd].messages
    }

    /// Whether a crowd that was just received is more than its connection may keep: no more than are left to others.
    fn is_too_much(&self, crowd: usize) -> bool {
        let whose = |crowd: &Crowd| crowd.messages.connection_id();
        let its = whose(&self.crowds[crowd]);
        let its_count = self.crowds.iter().filter(|crowd| whose(crowd) == its);
        let left = CROWDS_MAX - (self.crowds.len() - self.free.len());
        its_count.count() > left + 1
    }

    /// The next message of a crowd waits for this. Answers where it is.
    pub(super) fn note(&mut self, crowd: usize, what: Waits) -> Place {
        let waits = &mut self.crowds[crowd].waits;
        waits.push(what);
        let at = waits.len() - 1;
        Place { crowd, at }
    }

    /// A message waits for something else from now on.
    pub(super) fn wait_for(&mut self, place: Place, what: Waits) {
        self.crowds[place.crowd].waits[place.at] = what;
    }

    /// The next message of a crowd waits for nothing: it could not be sent.
    pub(super) fn take_next(&mut self, crowd: usize) -> Option<ReceivedMessage> {
        let at = self.note(crowd, Waits::No);
        self.take(at)
    }

    /// The bytes of a message.
    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        self.crowds[place.crowd].messages.bytes(place.at)
    }

    /// Takes a message out of its crowd; `None` if it was taken out before.
    pub(super) fn take(&mut self, place: Place) -> Option<ReceivedMessage> {
        let messages = &mut self.crowds[place.crowd].messages;
        let taken = messages.take(place.at);
        if taken.is_some() && messages.is_empty() {
            self.free.push(place.crowd);
        }
        taken
    }

    /// What the message with this receive id waits for, and where it is.
    pub(super) fn find(&self, id: Rcvid) -> Option<(Waits, Place)> {
        let crowds = self.crowds.iter().enumerate();
        let mut found = crowds.filter_map(|(crowd, its)| Some((crowd, its.messages.position(id)?)));
        let (crowd, at) = found.next()?;
        let waits = self.crowds[crowd].waits.get(at)?;
        Some((*waits, Place { crowd, at }))
    }

    /// A message was replied to, with a status that is not negative.
    pub(super) fn reply(&mut self, place: Place, status: i64, wakes: &mut Vec<Wake>) {
        if self.replied != Some(place.crowd) {
            self.flush(wakes);
            self.replied = Some(place.crowd);
        }
        self.replies.push((place.at, status));
    }

    /// Hands over the replies that have come.
    pub(super) fn flush(&mut self, wakes: &mut Vec<Wake>) {
        let Some(crowd) = self.replied.take() else {
            return;
        };
        let messages = &mut self.crowds[crowd].messages;
        let handed_over = messages.reply_quietly(&self.replies, wakes);
        handed_over.expect("invariant: statuses were checked, in the process that received");
        self.replies.clear();
        if messages.is_empty() {
            self.free.push(crowd);
        }
    }
}

impl Outbound {
    /// Takes messages that came together, where they are likely: a look that finds few is in vain. Answers how many.
    pub(super) fn receive_crowd(&mut self, turn: &mut Turn<'_>) -> usize {
        // What waits for a pulse goes first.
        let is_free = self.held.is_empty() && self.behind.is_empty();
        if !is_free || self.pending().max(self.last_count) < CROWD_MIN {
            return 0;
        }
        let Some(crowd) = self.crowds.receive(&self.channel) else {
            return 0;
        };
        let messages = self.crowds.messages(crowd);
        let (count, priority) = (messages.len(), messages.priority().unwrap_or_default());
        turn.counters.messages_out += count as u64;
        let sender = Sender::of_crowd(messages);
        let sender = sender.expect("invariant: a crowd that was just received has a sender");
        let conn = self.conn_of(turn, &sender);
        if let Ok(conn) = conn {
            self.last = Some((sender.route, conn));
        }
        let is_too_much = self.crowds.is_too_much(crowd);
        let mut at = 0;
        while at < count {
            let messages = self.crowds.messages(crowd);
            let len = messages.bytes(at).len();
            let tid = messages.tid(at).unwrap_or_default();
            let outgoing = Outgoing {
                len: len as u32,
                reply_len: 0,
                priority,
                tid: tid.0,
                reports: false,
            };
            let is_alike = |other: &usize| {
                let its = (messages.bytes(*other).len(), messages.tid(*other));
                its == (len, Some(tid))
            };
            let part = (at..count.min(at + RUN_MESSAGES_MAX))
                .take_while(is_alike)
                .count();
            let run = match conn {
                Ok(conn) if !is_too_much => (turn.engine).send_run(turn.now, conn, outgoing, part),
                _ => None,
            };
            if let Some(run) = run {
                self.together.note(run, crowd, at, part);
                for _ in 0..part {
                    self.crowds.note(crowd, Waits::ForRun(run));
                }
                turn.note_calls(part, len, 0);
                at += part;
                continue;
            }
            at += 1;
            turn.note_call(len, 0);
            let sent = conn.and_then(|conn| {
                let sent = turn.engine.send(turn.now, conn, outgoing);
                sent.map_err(local_errno)
            });
            match sent {
                // Those of a client that has many crowds already go on as if each had come by itself.
                Ok(call) if is_too_much => {
                    if let Some(message) = self.crowds.take_next(crowd) {
                        self.note_alone(call, message);
                    }
                }
                Ok(call) => {
                    let message = Held::InCrowd(self.crowds.note(crowd, Waits::ForCall(call)));
                    let wants_out = false;
                    self.note(call, Waiting { message, wants_out });
                }
                // As with one by itself.
                Err(errno) => {
                    let message = self.crowds.take_next(crowd);
                    let _ = message.map(|message| message.error(errno));
                }
            }
        }
        count
    }

    /// Which call the message with this receive id waits for. A crowd's message that has one leaves the crowd.
    pub(super) fn call_of(&mut self, engine: &mut Engine, id: Rcvid) -> Option<OutboundCall> {
        let call = self.by_place.get(id).filter(|call| {
            let message = self.alone(*call);
            message.is_some_and(|message| message.rcvid() == id)
        });
        if call.is_some() {
            return call;
        }
        if let (Waits::ForRun(run), _) = self.crowds.find(id)? {
            self.dissolve(engine, run);
        }
        let (Waits::ForCall(call), place) = self.crowds.find(id)? else {
            return None;
        };
        let waiting = self.calls.get_mut(call)?;
        if !matches!(waiting.message, Held::InCrowd(its) if its == place) {
            return None;
        }
        waiting.message = Held::Alone(self.crowds.take(place)?);
        self.by_place.note(id, call);
        Some(call)
    }

    /// A message of a crowd was replied to. The status is another node's word, and not to be trusted; a dead client needs no
    /// answer.
    pub(super) fn reply_in_crowd(&mut self, place: Place, status: i64) {
        if status >= 0 {
            self.crowds.reply(place, status, &mut self.wakes);
        } else if let Some(message) = self.crowds.take(place) {
            let _ = message.error(Errno::EPROTO);
        }
    }

    /// The message of a call that was forgotten, as one by itself.
    pub(super) fn take_out(&mut self, waiting: Waiting) -> Option<ReceivedMessage> {
        match waiting.message {
            Held::Alone(message) => Some(message),
            Held::InCrowd(place) => self.crowds.take(place),
        }
    }
}

impl Sender {
    /// Who sent a crowd, unless it is answered.
    fn of_crowd(messages: &MessagesApart) -> Option<Sender> {
        Some(Sender {
            route: messages.connection_id()?,
            target: messages.target(),
            client: messages.client()?,
            coid: messages.coid()?,
        })
    }
}
