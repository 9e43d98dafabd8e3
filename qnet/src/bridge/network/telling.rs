//! What the thread tells of itself and of its links, for `/net/.stats`.

use qnet_proto::LinkId;

use super::Network;
use crate::{
    bridge::{LinkStatistics, Statistics, counters::by_reason},
    driver::Interface,
};

impl Network {
    /// Everything that is counted, at this moment.
    pub(super) fn statistics(&self) -> Statistics {
        let mut of_engine = Statistics::of_engine(&self.engine, &self.interfaces);
        self.tell_ends(&mut of_engine.nodes);
        Statistics {
            link: self.link.counters(),
            links: self.links(),
            bridge: self.counters,
            connections_in: self.store.inbound.connections(),
            connections_out: self.store.outbound.connections(),
            pending_in: self.store.inbound.pending(),
            pending_out: self.store.outbound.pending(),
            ..of_engine
        }
    }

    fn links(&self) -> Vec<LinkStatistics> {
        let interfaces = self.interfaces.iter().enumerate();
        let of_port = |(at, interface): (usize, &Interface)| {
            let link = LinkId(at as u8);
            let dropped = self.engine.dropped_on(link).unwrap_or_default();
            LinkStatistics {
                interface: interface.name.clone(),
                mac: interface.mac.to_string(),
                mtu: interface.mtu,
                carrier: self.carriers[at],
                dropped: by_reason(&dropped),
                counters: self.link.counters_of(link),
            }
        };
        interfaces.map(of_port).collect()
    }
}
