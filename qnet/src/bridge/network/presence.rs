//! The node among others: it says that it is there and that it goes, and logs who else does.

use std::time::Duration;

use qnet_proto::{DownReason, Event, NodeName, NodeState, PeerId, Time, limits::MTU_MIN};

use super::Network;
use crate::{
    bridge::NodeStatistics,
    driver::{LinkError, now},
    limits::NEWCOMER_TIME,
};

/// By how much the thread misses a deadline before it says so.
const ABSENCE_TOLD: Duration = Duration::from_millis(300);
/// How long the goodbye to the other nodes may take.
const BYE_TIME: Duration = Duration::from_millis(20);

/// The last that is known of a node that does not answer any more.
pub(super) struct Ended {
    reason: &'static str,
    at: Time,
}

impl Network {
    /// Tells the segment that this node is there, and that a former life of it is over. Once, before
    /// [`Network::run`]: when it returns, the frame is on its way, and what anybody sends the node later arrives
    /// after it.
    ///
    /// # Errors
    /// The link is of no more use.
    pub fn announce(&mut self) -> Result<(), LinkError> {
        self.announced_at = now();
        self.engine.announce(self.announced_at);
        self.hand_over(now());
        self.link.wait(Some(Duration::ZERO))
    }

    /// What happens to nodes: one line of log each, as long as they are not too many. Whoever is on the wire makes them.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::NodeSeen { peer, name } => {
                self.ended.remove(&peer);
                self.names.insert(peer, name);
            }
            Event::NodeGone { peer, .. } => self.end(peer, "goodbye"),
            Event::PeerUp { peer } => drop(self.ended.remove(&peer)),
            Event::DuplicateName {
                mac, is_late: true, ..
            } if self.is_newcomer() => self.refused_by = Some(mac),
            Event::PeerDown { peer, reason } => {
                self.store.outbound.node_ended();
                if let Some(reason) = no_answer(reason) {
                    self.end(peer, reason);
                }
            }
            _ => {}
        }
        if !self.news.take(now()) {
            self.news_untold += 1;
            return;
        }
        let untold = std::mem::take(&mut self.news_untold);
        if untold > 0 {
            tracing::warn!(
                "{untold} more news of other nodes came than are told; the nodes: ls /net, qn net"
            );
        }
        self.tell(event);
    }

    /// Whether the node has just come, and nobody counts on it. Later, who says that the name is another's cannot end it.
    fn is_newcomer(&self) -> bool {
        let mut nodes = self.engine.nodes();
        now() - self.announced_at < NEWCOMER_TIME && nodes.all(|node| node.state != NodeState::Up)
    }

    fn tell(&self, event: Event) {
        let name = |peer| {
            let name = self.names.get(&peer);
            name.map_or_else(|| format!("node {}", peer.0), NodeName::to_string)
        };
        match event {
            Event::NodeSeen { peer, name } => {
                tracing::info!("node {name} is there (nd {})", peer.0)
            }
            Event::NodeGone { peer, name } => {
                tracing::info!("node {name} (nd {}) has gone", peer.0)
            }
            Event::DuplicateName {
                name, mac, is_late, ..
            } => tracing::error!(
                "two nodes are called {name}: the {} is at {mac}; start one of them with another --name",
                if is_late {
                    "other, who came first,"
                } else {
                    "second"
                },
            ),
            Event::PeerUp { peer } => tracing::info!("session with {}", name(peer)),
            Event::PeerDown { peer, reason } => match reason {
                DownReason::Bye => tracing::info!("{} said goodbye", name(peer)),
                DownReason::TooNarrow => tracing::error!(
                    "session with {} is over: shorter frames arrive there, and those of {MTU_MIN} bytes do not; a \
                     switch, bridge or tunnel on the way must pass at least so much (`ip -d link` shows the MTU of each)",
                    name(peer)
                ),
                // It lives, and what used the session has been told: after a while without any use it is nothing unusual.
                DownReason::SessionLost => {
                    tracing::info!("{} begins its session anew", name(peer));
                }
                reason => tracing::warn!("session with {} is over: {reason:?}", name(peer)),
            },
            _ => {}
        }
    }

    /// Remembers why a node does not answer, until it is heard again.
    fn end(&mut self, peer: PeerId, reason: &'static str) {
        self.ended.insert(peer, Ended { reason, at: now() });
    }

    /// Says of the nodes without a session which of them do not answer, since when and why.
    pub(super) fn tell_ends(&self, nodes: &mut [NodeStatistics]) {
        for node in nodes.iter_mut().filter(|node| node.state == "known") {
            if let Some(ended) = self.ended.get(&PeerId(node.nd)) {
                node.state = "down";
                node.down_reason = Some(ended.reason);
                node.down_ns = Some((now() - ended.at).as_nanos() as u64);
            }
        }
    }

    /// Tells the other nodes that this one ends, so that they need not find out.
    pub(super) fn say_goodbye(&mut self) -> Result<(), LinkError> {
        let until = now() + BYE_TIME;
        self.engine.bye(now());
        loop {
            self.handle_events(now());
            let has_more = self.hand_over(now());
            self.link.wait(Some(Duration::ZERO))?;
            if !has_more || now() >= until {
                return Ok(());
            }
        }
    }
}

/// What ended a session with a node that does not answer since; `None` for one that may.
fn no_answer(reason: DownReason) -> Option<&'static str> {
    match reason {
        DownReason::Silent => Some("silent"),
        DownReason::Unreachable => Some("unreachable"),
        DownReason::Bye => Some("goodbye"),
        DownReason::TooNarrow => Some("frames of 576 bytes do not pass"),
        DownReason::NameRefused => Some("name in use"),
        DownReason::Restarted | DownReason::SessionLost | DownReason::Forgotten => None,
    }
}

/// Tells who wonders at slow calls that this node itself stood still.
pub(super) fn tell_absence(late: Duration) {
    if late >= ABSENCE_TOLD {
        tracing::warn!(
            "this node did not get to run for {late:.1?}: was it stopped, or is its machine overloaded?"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_newcomers_is_that_of_the_document() {
        let document = include_str!("../../../docs/protocol.md");
        let sentence = format!("so refused within {} s,", NEWCOMER_TIME.as_secs());
        assert!(document.contains(&sentence));
    }
}
