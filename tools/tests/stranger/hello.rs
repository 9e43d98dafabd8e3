//! What nodes tell of themselves: names, hellos, handshakes; section 2.

use crate::bytes::{Reader, Writer};
use crate::frame::Station;

/// A node's name.
pub(crate) type Name = String;

const NAME_LEN_MAX: usize = 63;

/// *hello*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) epoch: u64,
    pub(crate) receive_window: u32,
    pub(crate) ack_delay_us: u32,
    pub(crate) mtu: u16,
    pub(crate) station: Station,
    pub(crate) name: Name,
}

impl Hello {
    pub(crate) fn put(&self, to: &mut Writer) {
        to.u64(self.epoch)
            .u32(self.receive_window)
            .u32(self.ack_delay_us);
        to.u16(self.mtu).bytes(&self.station);
        put_name(to, &self.name);
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Option<Hello> {
        let (epoch, receive_window, ack_delay_us) = (from.u64()?, from.u32()?, from.u32()?);
        let (mtu, station, name) = (from.u16()?, from.array()?, take_name(from)?);
        let is_group = station[0] & 1 == 1;
        let holds = epoch != 0
            && receive_window >= 2 * u32::from(mtu)
            && ack_delay_us <= 1_000_000
            && mtu >= 576
            && !is_group
            && station != Station::default();
        holds.then_some(Hello {
            epoch,
            receive_window,
            ack_delay_us,
            mtu,
            station,
            name,
        })
    }
}

/// *handshake*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) hello: Hello,
    pub(crate) initiator_nonce: u32,
    pub(crate) responder_nonce: u32,
    pub(crate) other_epoch: u64,
    pub(crate) stamp: u64,
    pub(crate) cookie: [u8; 16],
}

impl Handshake {
    pub(crate) fn put(&self, to: &mut Writer) {
        self.hello.put(to);
        to.u32(self.initiator_nonce).u32(self.responder_nonce);
        to.u64(self.other_epoch).u64(self.stamp).bytes(&self.cookie);
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Option<Handshake> {
        let hello = Hello::take(from)?;
        let (initiator_nonce, responder_nonce) = (from.u32()?, from.u32()?);
        let (other_epoch, stamp, cookie) = (from.u64()?, from.u64()?, from.array()?);
        (initiator_nonce != 0).then_some(Handshake {
            hello,
            initiator_nonce,
            responder_nonce,
            other_epoch,
            stamp,
            cookie,
        })
    }

    /// The number of the session that it makes.
    pub(crate) fn session(&self) -> u64 {
        u64::from(self.initiator_nonce) << 32 | u64::from(self.responder_nonce)
    }
}

pub(crate) fn put_name(to: &mut Writer, name: &str) {
    let mut bytes = [0; NAME_LEN_MAX];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    to.u8(name.len() as u8).bytes(&bytes);
}

pub(crate) fn take_name(from: &mut Reader<'_>) -> Option<Name> {
    let len = usize::from(from.u8()?);
    let mut bytes = Reader(from.take(NAME_LEN_MAX)?);
    let name = bytes.take(len)?;
    bytes.zeros(NAME_LEN_MAX - len)?;
    let is_of_names = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let begins_well = name.first().is_some_and(|byte| !b"-.".contains(byte));
    let holds = begins_well && name.iter().all(is_of_names);
    holds.then(|| String::from_utf8_lossy(name).into_owned())
}
