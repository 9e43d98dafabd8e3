//! The Ethernet header and the Qnet header.

use zerocopy::byteorder::network_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Malformed, Records, seal::seal, split};
use crate::Mac;
use crate::limits::{ETHERNET_HEADER_LEN, PACKET_NUMBER_BITS, PATHS_MAX, QNET_HEADER_LEN, TAG_LEN};

/// The version of the protocol this code speaks: the first byte of the Qnet header. It counts up with whatever a
/// node of the version before would misread, or pass over though it is waited for: a type of record, too.
pub const VERSION: u8 = 4;
/// Header flag: the sender is the one that answered the handshake of this session.
pub(super) const FLAG_RESPONDER: u8 = 0x01;
/// Header flag: 16 bytes behind the records seal all before them.
pub(super) const FLAG_SEALED: u8 = 0x02;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct EthernetHeader {
    pub(super) dst: [u8; 6],
    pub(super) src: [u8; 6],
    pub(super) ethertype: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct QnetHeader {
    /// Version of the format.
    pub(super) version: u8,
    /// `FLAG_*`; the other bits are zero.
    pub(super) flags: u8,
    /// Bytes from the start of this header to the end of records and tag: Ethernet pads.
    pub(super) len: U16,
    /// Path (8 bits) and number (56 bits) of this packet: together never used twice in one session and
    /// direction; 0 outside sessions.
    pub(super) packet: U64,
    /// The session; 0 for discovery and the first two messages of a handshake.
    pub(super) session: U64,
    /// A path of the receiver (8 bits) and 1 + the largest packet number received through it (56 bits);
    /// 0 for none.
    pub(super) ack: U64,
    /// How many packets in a row, ending with that one, were received.
    pub(super) ack_run: U16,
    /// Time since that one was received, in units of 16 us; saturates.
    pub(super) ack_delay: U16,
}

/// The bits of a packet number that count.
const NUMBER_MASK: u64 = (1 << PACKET_NUMBER_BITS) - 1;

const _: () = assert!(size_of::<EthernetHeader>() == ETHERNET_HEADER_LEN);
const _: () = assert!(size_of::<QnetHeader>() == QNET_HEADER_LEN);

/// The Qnet header as values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether the sender answered the handshake of this session.
    pub is_responder: bool,
    /// Whether the frame carries a seal.
    pub is_sealed: bool,
    /// The path the packet was sent through, as its sender counts its paths.
    pub path: u8,
    /// The packet number: counted for each path.
    pub packet: u64,
    /// The session, or 0.
    pub session: u64,
    /// The path of the receiver of this frame that `ack` is about.
    pub ack_path: u8,
    /// 1 + the largest packet number received through it, or 0.
    pub ack: u64,
    /// Packets received in a row, ending with `ack - 1`.
    pub ack_run: u16,
    /// Units of 16 us since `ack - 1` was received.
    pub ack_delay: u16,
}

/// A received frame whose headers are sound and whose length is true. Its records are not checked yet.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// To whom.
    pub dst: Mac,
    /// From whom.
    pub src: Mac,
    /// The Qnet header.
    pub header: Header,
    /// Bytes of the frame without padding.
    pub len: usize,
    records: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Checks a frame as it came from the link. `must_seal` refuses frames that carry no seal.
    ///
    /// # Errors
    /// What is wrong with it.
    #[inline]
    pub fn parse(bytes: &'a [u8], ethertype: u16, must_seal: bool) -> Result<Frame<'a>, Malformed> {
        let (ethernet, rest) = split::<EthernetHeader>(bytes)?;
        if ethernet.ethertype.get() != ethertype {
            return Err(Malformed::EtherType);
        }
        let (header, _) = split::<QnetHeader>(rest)?;
        if header.version != VERSION {
            return Err(Malformed::Version);
        }
        if header.flags & !(FLAG_RESPONDER | FLAG_SEALED) != 0 {
            return Err(Malformed::Reserved);
        }
        let is_sealed = header.flags & FLAG_SEALED != 0;
        let tag_len = if is_sealed { TAG_LEN } else { 0 };
        let len = usize::from(header.len.get());
        if len < QNET_HEADER_LEN + tag_len || len > rest.len() {
            return Err(Malformed::Length);
        }
        let (covered, tag) =
            bytes[..ETHERNET_HEADER_LEN + len].split_at(ETHERNET_HEADER_LEN + len - tag_len);
        if (must_seal && !is_sealed) || (is_sealed && seal(covered) != tag) {
            return Err(Malformed::Seal);
        }
        Ok(Frame {
            dst: Mac(ethernet.dst),
            src: Mac(ethernet.src),
            header: header.values()?,
            len: ETHERNET_HEADER_LEN + len,
            records: &covered[ETHERNET_HEADER_LEN + QNET_HEADER_LEN..],
        })
    }

    /// The records, each checked when its turn comes.
    pub fn records(&self) -> Records<'a> {
        Records::new(self.records)
    }
}

impl QnetHeader {
    /// Inlined, as it goes field by field to where it stays.
    #[inline(always)]
    fn values(&self) -> Result<Header, Malformed> {
        let header = Header {
            is_responder: self.flags & FLAG_RESPONDER != 0,
            is_sealed: self.flags & FLAG_SEALED != 0,
            path: (self.packet.get() >> PACKET_NUMBER_BITS) as u8,
            packet: self.packet.get() & NUMBER_MASK,
            session: self.session.get(),
            ack_path: (self.ack.get() >> PACKET_NUMBER_BITS) as u8,
            ack: self.ack.get() & NUMBER_MASK,
            ack_run: self.ack_run.get(),
            ack_delay: self.ack_delay.get(),
        };
        let run = u64::from(header.ack_run);
        let names_nothing = header.ack == 0;
        let ack_is_sound = run <= header.ack
            && (run == 0) == names_nothing
            && usize::from(header.ack_path) < PATHS_MAX
            && !(names_nothing && header.ack_path != 0);
        let packet_is_sound = header.packet < NUMBER_MASK && usize::from(header.path) < PATHS_MAX;
        let stranger = header.session == 0;
        let stranger_is_sound =
            !stranger || (self.packet.get() == 0 && header.ack == 0 && !header.is_responder);
        if ack_is_sound && packet_is_sound && stranger_is_sound {
            Ok(header)
        } else {
            Err(Malformed::Value)
        }
    }

    /// Writes the header of a frame with `len` bytes behind its Ethernet header, field by field: as one piece it would be
    /// read back from where its fields were just put together, which waits until the payload that was copied
    /// before has reached the cache.
    #[inline(always)]
    pub(super) fn write(header: &Header, len: u16, into: &mut [u8; QNET_HEADER_LEN]) {
        let responder = if header.is_responder {
            FLAG_RESPONDER
        } else {
            0
        };
        let sealed = if header.is_sealed { FLAG_SEALED } else { 0 };
        let packet = numbered(header.path, header.packet);
        let ack = numbered(header.ack_path, header.ack);
        into[0] = VERSION;
        into[1] = responder | sealed;
        into[2..4].copy_from_slice(&len.to_be_bytes());
        into[4..12].copy_from_slice(&packet.to_be_bytes());
        into[12..20].copy_from_slice(&header.session.to_be_bytes());
        into[20..28].copy_from_slice(&ack.to_be_bytes());
        into[28..30].copy_from_slice(&header.ack_run.to_be_bytes());
        into[30..32].copy_from_slice(&header.ack_delay.to_be_bytes());
    }
}

/// A number of a path's packets as it stands in the header.
fn numbered(path: u8, number: u64) -> u64 {
    u64::from(path) << PACKET_NUMBER_BITS | number
}
