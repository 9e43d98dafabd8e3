//! Cookies: what a responder would have to remember of a handshake, in the care of the initiator.

use super::peer::Address;
use super::random::{Key, Random};
use crate::wire::Handshake;

/// How long a cookie is good for.
pub(super) const COOKIE_LIFE_NS: u64 = 1_000_000_000;

/// Makes and checks cookies.
pub(super) struct Cookies([Key; 3]);

impl Cookies {
    pub(super) fn new(random: &mut Random) -> Cookies {
        Cookies([random.key(), random.key(), random.key()])
    }

    /// The responder's nonce and cookie for an Init.
    pub(super) fn make(
        &self,
        init: &Handshake,
        from: Address,
        own_epoch: u64,
        stamp: u64,
        generation: u64,
    ) -> (u32, [u8; 16]) {
        let mut bytes = [0; 128];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&[from.link.0]);
        put(&from.mac.0);
        put(&init.hello.epoch.to_be_bytes());
        put(&init.hello.receive_window.to_be_bytes());
        put(&init.hello.ack_delay_us.to_be_bytes());
        put(&init.hello.mtu.to_be_bytes());
        put(&init.hello.station.0);
        put(&init.initiator_nonce.to_be_bytes());
        put(&own_epoch.to_be_bytes());
        put(&stamp.to_be_bytes());
        put(&generation.to_be_bytes());
        put(init.hello.name.as_bytes());
        let bytes = &bytes[..at];
        let mut cookie = [0; 16];
        cookie[..8].copy_from_slice(&self.0[1].hash(bytes).to_be_bytes());
        cookie[8..].copy_from_slice(&self.0[2].hash(bytes).to_be_bytes());
        (self.0[0].hash(bytes) as u32, cookie)
    }
}
