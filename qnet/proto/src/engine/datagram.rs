//! Frames of one record: outside sessions, or at the begin and end of one.

use super::peer::Address;
use super::{DropReason, Engine, Transmit};
use crate::limits::DATAGRAMS_MAX;
use crate::wire::{FrameBuilder, Handshake, Header, RecordType, Reset, WhoIs};
use crate::{LinkId, Mac, NodeName};

/// A frame outside sessions, or one that begins or ends a session, complete but for its bytes.
#[derive(Clone, Copy)]
pub(super) struct Datagram {
    to: Address,
    session: u64,
    path: u8,
    packet: u64,
    is_responder: bool,
    content: Content,
}

/// The one record of such a frame.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Hello(RecordType),
    WhoIs(NodeName),
    Handshake(RecordType, Handshake),
    Reset(Reset),
    Bye,
}

impl Datagram {
    pub(super) fn new(to: Address, content: Content) -> Datagram {
        Datagram {
            to,
            session: 0,
            path: 0,
            packet: 0,
            is_responder: false,
            content,
        }
    }

    pub(super) fn handshake(to: Address, kind: RecordType, handshake: Handshake) -> Datagram {
        Datagram::new(to, Content::Handshake(kind, handshake))
    }

    pub(super) fn confirm(to: Address, packet: u64, confirm: Handshake) -> Datagram {
        let content = Content::Handshake(RecordType::Confirm, confirm);
        Datagram {
            session: confirm.session(),
            packet,
            ..Datagram::new(to, content)
        }
    }

    /// The last frame of a session.
    pub(super) fn bye(
        to: Address,
        session: u64,
        path: u8,
        packet: u64,
        is_responder: bool,
    ) -> Datagram {
        Datagram {
            session,
            path,
            packet,
            is_responder,
            ..Datagram::new(to, Content::Bye)
        }
    }

    pub(super) fn reset(to: Address, reset: Reset) -> Datagram {
        Datagram::new(to, Content::Reset(reset))
    }
}

impl Engine {
    pub(super) fn broadcast(&mut self, content: Content) {
        for link in 0..self.config.links.len() {
            let to = Address {
                link: LinkId(link as u8),
                mac: Mac::BROADCAST,
            };
            self.push_datagram(Datagram::new(to, content));
        }
    }

    pub(super) fn push_datagram(&mut self, datagram: Datagram) {
        if self.datagrams.len() >= DATAGRAMS_MAX {
            return self.drops.count_on(datagram.to.link, DropReason::Full);
        }
        self.datagrams.push_back(datagram);
    }

    pub(super) fn write_datagram(&self, datagram: &Datagram, buffer: &mut [u8]) -> Transmit {
        let Address { link, mac } = datagram.to;
        let config = &self.config.links[usize::from(link.0)];
        let mut frame = FrameBuilder::new(buffer, config.mtu);
        let hello = self.hello(link);
        let written = match datagram.content {
            Content::Hello(kind) => hello.emit(&mut frame, kind),
            Content::WhoIs(name) => WhoIs { asker: hello, name }.emit(&mut frame),
            Content::Handshake(kind, handshake) => handshake.emit(&mut frame, kind),
            Content::Reset(reset) => reset.emit(&mut frame),
            Content::Bye => frame.mark(RecordType::Bye),
        };
        written.expect("the smallest frame takes any one of these records");
        let header = Header {
            is_sealed: self.config.seals,
            session: datagram.session,
            path: datagram.path,
            packet: datagram.packet,
            is_responder: datagram.is_responder,
            ..Header::default()
        };
        let len = frame.finish(config.mac, mac, self.config.ethertype, &header);
        Transmit {
            link,
            dst_mac: mac,
            len,
        }
    }
}
