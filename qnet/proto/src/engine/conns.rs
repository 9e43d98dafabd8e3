//! Virtual connections: a local client's to a remote channel, and a remote client's to a local one.

use super::LinkPolicy;
use super::chain::{Chain, Chained, Link};
use crate::limits::{EAGER_LEN, PULSES_MAX, UNASKED_LEN};
use crate::wire::Connect;
use crate::{ConnectInfo, LinkId, PeerId, Pulse, Time};

/// A local client's connection to a remote channel.
pub(super) struct OutConn {
    pub(super) peer: PeerId,
    /// Its place among the connections to the peer.
    pub(super) link: Link,
    pub(super) calls: Chain,
    pub(super) runs: Chain,
    pub(super) info: ConnectInfo,
    /// The links that its messages and pulses may take.
    pub(super) policy: LinkPolicy,
    /// Its number in the session, from the first transmission on.
    pub(super) id: Option<u64>,
    /// Counts changes of credentials.
    pub(super) revision: u16,
    /// The newest revision that is known to have arrived.
    pub(super) confirmed: Option<u16>,
    /// Whether the server answered and nothing was lost since: then its node most likely has buffers.
    pub(super) has_room: bool,
    /// Number of the next pulse to the server.
    pub(super) next_pulse: u64,
    /// Pulses to the server that are not known to have arrived.
    pub(super) pulses_unacked: u32,
    /// Calls, pulses and cancels that are not finished; the detach waits for them.
    pub(super) uses: u32,
    /// Since when there are any without a break.
    pub(super) busy_since: Time,
    /// Whether the client has detached, or the server is gone.
    pub(super) is_closing: bool,
    /// Whether the server's node said that the server is gone: no detach is owed.
    pub(super) is_closed_by_server: bool,
    /// Whether it was given up because the only link it may take leads nowhere.
    pub(super) is_cut: bool,
    /// Pulses from the server.
    pub(super) pulses: PulseOrder,
}

impl OutConn {
    pub(super) fn new(peer: PeerId, info: ConnectInfo, policy: LinkPolicy) -> OutConn {
        OutConn {
            peer,
            link: Link::default(),
            calls: Chain::default(),
            runs: Chain::default(),
            info,
            policy,
            id: None,
            revision: 0,
            confirmed: None,
            has_room: false,
            next_pulse: 0,
            pulses_unacked: 0,
            uses: 0,
            busy_since: Time(0),
            is_closing: false,
            is_closed_by_server: false,
            is_cut: false,
            pulses: PulseOrder::default(),
        }
    }

    /// Bytes of a message that are sent before anything was granted.
    pub(super) fn unasked_len(&self) -> usize {
        if self.has_room {
            UNASKED_LEN
        } else {
            EAGER_LEN
        }
    }

    /// Counts one more use.
    pub(super) fn begin_use(&mut self, now: Time) {
        if self.uses == 0 {
            self.busy_since = now;
        }
        self.uses += 1;
    }

    /// The connect, as long as the server's node may not have it.
    pub(super) fn unconfirmed(&self) -> Option<Connect> {
        let is_known = self.confirmed == Some(self.revision);
        (!is_known).then_some(Connect {
            info: self.info,
            revision: self.revision,
            answers_back: self.policy != LinkPolicy::LoadBalance,
        })
    }
}

impl Chained for OutConn {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn older(&self) -> u32 {
        self.link.older()
    }
}

/// A remote client's connection to a local channel.
pub(super) struct InConn {
    pub(super) peer: PeerId,
    pub(super) calls: Chain,
    pub(super) runs: Chain,
    pub(super) id: u64,
    pub(super) info: ConnectInfo,
    pub(super) revision: u16,
    /// The links that answers and pulses to the client may take.
    pub(super) back: LinkPolicy,
    answers_back: bool,
    /// Number of the next pulse to the client.
    pub(super) next_pulse: u64,
    /// Pulses from the client.
    pub(super) pulses: PulseOrder,
}

impl InConn {
    pub(super) fn new(peer: PeerId, id: u64, connect: &Connect, link: LinkId) -> InConn {
        InConn {
            peer,
            calls: Chain::default(),
            runs: Chain::default(),
            id,
            info: connect.info,
            revision: connect.revision,
            back: match connect.answers_back {
                true => LinkPolicy::Preferred(link),
                false => LinkPolicy::LoadBalance,
            },
            answers_back: connect.answers_back,
            next_pulse: 0,
            pulses: PulseOrder::default(),
        }
    }

    /// Something of the client came through this link.
    pub(super) fn came_through(&mut self, link: LinkId) {
        if self.answers_back {
            self.back = LinkPolicy::Preferred(link);
        }
    }

    /// Takes a connect that came again; true if the credentials are news.
    pub(super) fn update(&mut self, connect: &Connect) -> bool {
        let is_newer = connect.revision.wrapping_sub(self.revision).cast_signed() > 0;
        if is_newer {
            self.revision = connect.revision;
            self.info.uid = connect.info.uid;
            self.info.gid = connect.info.gid;
        }
        is_newer
    }
}

/// Brings the pulses of one connection and direction into order, each once.
#[derive(Default)]
pub(super) struct PulseOrder {
    next: u64,
    /// Pulses that overtook others, by number.
    early: Vec<(u64, Pulse)>,
}

impl PulseOrder {
    /// Takes a pulse; false if it is too far ahead, or ahead while `early_len` of all connections are already. No
    /// sound peer has more under way. Repetitions are taken and forgotten.
    pub(super) fn insert(&mut self, sequence: u64, pulse: Pulse, early_len: usize) -> bool {
        let is_too_far = sequence >= self.next + PULSES_MAX as u64;
        if is_too_far || (sequence > self.next && early_len >= PULSES_MAX) {
            return false;
        }
        if sequence >= self.next
            && let Err(at) = self
                .early
                .binary_search_by_key(&sequence, |&(number, _)| number)
        {
            self.early.insert(at, (sequence, pulse));
        }
        true
    }

    /// The next pulse whose turn has come.
    pub(super) fn pop(&mut self) -> Option<Pulse> {
        if self.early.first()?.0 != self.next {
            return None;
        }
        self.next += 1;
        let pulse = self.early.remove(0).1;
        if self.early.is_empty() {
            // Room that thousands of connections once needed would add up.
            self.early = Vec::new();
        }
        Some(pulse)
    }

    /// Pulses that wait for those before them.
    pub(super) fn early_len(&self) -> usize {
        self.early.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulses_come_in_order_and_once() {
        let mut order = PulseOrder::default();
        let pulse = |value| Pulse {
            code: 1,
            priority: 10,
            value,
        };
        let mut taken = Vec::new();
        for sequence in [2, 1, 2, 0, 0, 4, 3, 1] {
            assert!(order.insert(sequence, pulse(sequence as i64), 0));
            while let Some(pulse) = order.pop() {
                taken.push(pulse.value);
            }
        }
        assert_eq!(taken, [0, 1, 2, 3, 4]);
        assert!(!order.insert(5 + PULSES_MAX as u64, pulse(0), 0));
        assert!(!order.insert(6, pulse(6), PULSES_MAX), "others wait");
        assert!(order.insert(5, pulse(5), PULSES_MAX), "its turn has come");
    }
}
