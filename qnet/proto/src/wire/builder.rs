//! Writes a frame record by record into a caller's buffer.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::frame::{EthernetHeader, QnetHeader};
use super::seal::seal;
use super::{Header, RecordType};
use crate::Mac;
use crate::limits::{
    ETHERNET_HEADER_LEN, FRAME_OVERHEAD_LEN, QNET_HEADER_LEN, RECORD_HEADER_LEN, TAG_LEN,
};

const RECORDS_START: usize = ETHERNET_HEADER_LEN + QNET_HEADER_LEN;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RecordHeader {
    /// What the record is.
    pub(super) kind: u8,
    /// Zero.
    pub(super) reserved: u8,
    /// Bytes behind this header.
    pub(super) len: U16,
}

const _: () = assert!(size_of::<RecordHeader>() == RECORD_HEADER_LEN);

/// A frame being written. It never outgrows the MTU it was begun with, tag included.
pub struct FrameBuilder<'a> {
    frame: &'a mut [u8],
    /// Where the next record begins.
    end: usize,
    /// Where records must end, so that the tag still fits.
    limit: usize,
    records: usize,
}

impl<'a> FrameBuilder<'a> {
    /// Begins a frame of at most `mtu` bytes behind the Ethernet header.
    ///
    /// # Panics
    /// If `frame` is too short for headers and tag.
    pub fn new(frame: &'a mut [u8], mtu: usize) -> FrameBuilder<'a> {
        let len_max = frame.len().min(ETHERNET_HEADER_LEN + mtu);
        assert!(
            len_max >= FRAME_OVERHEAD_LEN,
            "a transmit buffer holds the largest frame of any link"
        );
        FrameBuilder {
            frame,
            end: RECORDS_START,
            limit: len_max - TAG_LEN,
            records: 0,
        }
    }

    /// Whether no record was written yet.
    pub fn is_empty(&self) -> bool {
        self.end == RECORDS_START
    }

    /// Records written so far.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes that one more record may have behind its header.
    pub fn room(&self) -> usize {
        (self.limit - self.end).saturating_sub(RECORD_HEADER_LEN)
    }

    /// Writes a record: a fixed part, an optional second one, and room for `tail_len` bytes, which are
    /// returned to be filled. `None`, and nothing written, if it does not fit.
    pub(super) fn push(
        &mut self,
        kind: RecordType,
        parts: [&[u8]; 2],
        tail_len: usize,
    ) -> Option<&mut [u8]> {
        let fixed_len = parts[0].len() + parts[1].len();
        let len = fixed_len + tail_len;
        if self.limit - self.end < RECORD_HEADER_LEN || len > self.room() {
            return None;
        }
        let header = RecordHeader {
            kind: kind as u8,
            reserved: 0,
            len: U16::new(len as u16),
        };
        let mut at = self.end;
        for part in [header.as_bytes(), parts[0], parts[1]] {
            self.frame[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.end = at + tail_len;
        self.records += 1;
        Some(&mut self.frame[at..at + tail_len])
    }

    /// Writes a record that consists of its header alone; `None` if it does not fit.
    pub fn mark(&mut self, kind: RecordType) -> Option<()> {
        self.push(kind, [&[], &[]], 0).map(|_| ())
    }

    /// Fills the rest of the frame with nothing, so that it is as long as its MTU allows.
    pub fn pad(&mut self) {
        let room = self.room();
        if let Some(tail) = self.push(RecordType::Pad, [&[], &[]], room) {
            tail.fill(0);
        }
    }

    /// Completes the frame and tells its length.
    pub fn finish(self, src: Mac, dst: Mac, ethertype: u16, header: &Header) -> usize {
        let tag_len = if header.is_sealed { TAG_LEN } else { 0 };
        let qnet_len = self.end - ETHERNET_HEADER_LEN + tag_len;
        let ethernet = EthernetHeader {
            dst: dst.0,
            src: src.0,
            ethertype: ethertype.into(),
        };
        self.frame[..ETHERNET_HEADER_LEN].copy_from_slice(ethernet.as_bytes());
        let qnet = QnetHeader::of(header, qnet_len as u16);
        self.frame[ETHERNET_HEADER_LEN..RECORDS_START].copy_from_slice(qnet.as_bytes());
        if header.is_sealed {
            let tag = seal(&self.frame[ETHERNET_HEADER_LEN..self.end]);
            self.frame[self.end..self.end + TAG_LEN].copy_from_slice(&tag);
        }
        self.end + tag_len
    }
}
