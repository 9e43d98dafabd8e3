//! Writes a frame record by record into a caller's buffer.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::frame::QnetHeader;
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
    #[inline(always)]
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
        self.push_inlined(kind, parts, tail_len)
    }

    /// As [`FrameBuilder::push`], for fragments, of which there are many.
    #[inline(always)]
    pub(super) fn push_inlined(
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
        // In one piece, for the same reason as a frame's header goes field by field.
        let header = u32::from(kind as u8) << 24 | u32::from(len as u16);
        let header = header.to_be_bytes();
        let mut at = self.end;
        for part in [header.as_slice(), parts[0], parts[1]] {
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

    /// Completes the frame and tells its length. Inlined, so that the header is never in memory as a whole: read back from
    /// there it would wait for the payload that was just copied.
    #[inline(always)]
    pub fn finish(self, src: Mac, dst: Mac, ethertype: u16, header: &Header) -> usize {
        let tag_len = if header.is_sealed { TAG_LEN } else { 0 };
        let qnet_len = self.end - ETHERNET_HEADER_LEN + tag_len;
        self.frame[..6].copy_from_slice(&dst.0);
        self.frame[6..12].copy_from_slice(&src.0);
        self.frame[12..ETHERNET_HEADER_LEN].copy_from_slice(&ethertype.to_be_bytes());
        let room = &mut self.frame[ETHERNET_HEADER_LEN..RECORDS_START];
        let room = room.try_into().expect("as long as the header");
        QnetHeader::write(header, qnet_len as u16, room);
        if header.is_sealed {
            let tag = seal(&self.frame[..self.end]);
            self.frame[self.end..self.end + TAG_LEN].copy_from_slice(&tag);
        }
        self.end + tag_len
    }
}
