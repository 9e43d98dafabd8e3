//! Frames: section 1.

use crate::bytes::{Reader, Writer};
use crate::record::Record;
use crate::seal::{TAG_LEN, tag};

/// An Ethernet address.
pub(crate) type Station = [u8; 6];

pub(crate) const ETHERTYPE: u16 = 0x88b5;
pub(crate) const BROADCAST: Station = [0xff; 6];
/// Bytes of the Qnet header.
pub(crate) const HEADER_LEN: usize = 32;
const VERSION: u8 = 4;
const RESPONDER: u8 = 0x01;
const SEALED: u8 = 0x02;
const PATHS: u8 = 8;
const ETHERNET_LEN: usize = 14;

/// A header field of 64 bits that names a packet of a path: `path` above, `number` in the lower 56 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) path: u8,
    pub(crate) number: u64,
}

impl Numbered {
    fn of(field: u64) -> Option<Numbered> {
        let path = (field >> 56) as u8;
        (path < PATHS).then_some(Numbered {
            path,
            number: field & ((1 << 56) - 1),
        })
    }

    fn field(self) -> u64 {
        u64::from(self.path) << 56 | self.number
    }
}

/// The acknowledgement in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// 1 + the largest number received of the path.
    pub(crate) next: Numbered,
    pub(crate) run: u16,
    /// In 16 us.
    pub(crate) delay: u16,
}

/// A frame, taken apart.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) to: Station,
    pub(crate) from: Station,
    pub(crate) responder: bool,
    pub(crate) packet: Numbered,
    /// 0 outside sessions.
    pub(crate) session: u64,
    pub(crate) ack: Option<Ack>,
    pub(crate) records: Vec<Record>,
    /// From the Qnet header to the end of the tag; of a frame that was received.
    pub(crate) len: usize,
}

impl Frame {
    /// A frame outside sessions.
    pub(crate) fn outside(to: Station, from: Station, record: Record) -> Frame {
        Frame {
            to,
            from,
            responder: false,
            packet: Numbered::default(),
            session: 0,
            ack: None,
            records: vec![record],
            len: 0,
        }
    }

    pub(crate) fn encode(&self, sealed: bool) -> Vec<u8> {
        let records: Vec<u8> = self.records.iter().flat_map(Record::encode).collect();
        let len = HEADER_LEN + records.len() + if sealed { TAG_LEN } else { 0 };
        let flags = u8::from(self.responder) * RESPONDER + u8::from(sealed) * SEALED;
        let mut writer = Writer::default();
        writer.u8(VERSION).u8(flags).u16(len as u16);
        writer.u64(self.packet.field()).u64(self.session);
        match self.ack {
            Some(ack) => writer.u64(ack.next.field()).u16(ack.run).u16(ack.delay),
            None => writer.u64(0).u16(0).u16(0),
        };
        writer.bytes(&records);
        let mut frame = [self.to, self.from].concat();
        frame.extend(ETHERTYPE.to_be_bytes());
        frame.extend(writer.0);
        if sealed {
            frame.extend(tag(&frame));
        }
        frame
    }

    /// Takes apart a frame from a node that must be as the document says; the error says where it is not.
    pub(crate) fn decode(bytes: &[u8], sealed: bool) -> Result<Frame, String> {
        let (ethernet, qnet) = bytes
            .split_at_checked(ETHERNET_LEN)
            .ok_or("no Ethernet header")?;
        let station = |at: usize| Station::try_from(&ethernet[at..at + 6]).expect("six");
        let mut reader = Reader(qnet);
        let mut field = || -> Option<_> {
            let (version, flags, len) = (reader.u8()?, reader.u8()?, reader.u16()?);
            let packet = Numbered::of(reader.u64()?)?;
            let session = reader.u64()?;
            let (next, run, delay) = (Numbered::of(reader.u64()?)?, reader.u16()?, reader.u16()?);
            Some((
                version,
                flags,
                usize::from(len),
                packet,
                session,
                Ack { next, run, delay },
            ))
        };
        let (version, flags, len, packet, session, ack) = field().ok_or("no Qnet header")?;
        let expect =
            |holds: bool, what: &str| holds.then_some(()).ok_or(format!("{what}: {bytes:02x?}"));
        expect(version == VERSION, "another version")?;
        expect(flags & !(RESPONDER | SEALED) == 0, "a reserved flag")?;
        expect(
            (flags & SEALED != 0) == sealed,
            "sealed or not against the configuration",
        )?;
        let tag_len = if sealed { TAG_LEN } else { 0 };
        expect((HEADER_LEN + tag_len..=qnet.len()).contains(&len), "len")?;
        let (covered, rest) = bytes[..ETHERNET_LEN + len].split_at(ETHERNET_LEN + len - tag_len);
        expect(!sealed || tag(covered) == rest, "the tag")?;
        let responder = flags & RESPONDER != 0;
        if session == 0 {
            expect(
                !responder && packet == Numbered::default(),
                "not zero outside sessions",
            )?;
        }
        let is_ack = ack.next != Numbered::default();
        expect(
            (ack.run != 0) == is_ack && u64::from(ack.run) <= ack.next.number,
            "ack_run",
        )?;
        let records = records(&covered[ETHERNET_LEN + HEADER_LEN..])?;
        expect(
            records.iter().all(|record| record.is_placed(session != 0)),
            "a misplaced record",
        )?;
        Ok(Frame {
            to: station(0),
            from: station(6),
            responder,
            packet,
            session,
            ack: is_ack.then_some(ack),
            records,
            len,
        })
    }
}

fn records(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let mut reader = Reader(bytes);
    let mut records = Vec::new();
    while reader.end().is_none() {
        let record = Record::decode(&mut reader);
        records.push(record.ok_or_else(|| format!("a malformed record after {records:?}"))?);
    }
    Ok(records)
}
