//! Acknowledgement of packets below the run that stands in the header.

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{FrameBuilder, Malformed, RecordType};
use crate::limits::ACK_RANGES_PER_RECORD;

/// One step down: so many packets missing, then so many received.
#[derive(
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
)]
#[repr(C)]
pub struct AckRange {
    /// Packets not received, at least one.
    pub gap: U32,
    /// Packets received below the gap, at least one.
    pub run: U32,
}

/// The steps of one record, from the highest packets to the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRanges<'a>(&'a [AckRange]);

impl<'a> AckRanges<'a> {
    /// Writes the record; `None` if it does not fit.
    pub fn emit(frame: &mut FrameBuilder<'_>, ranges: &[AckRange]) -> Option<()> {
        frame
            .push(RecordType::AckRanges, [ranges.as_bytes(), &[]], 0)
            .map(|_| ())
    }

    /// The steps.
    pub fn iter(&self) -> impl Iterator<Item = AckRange> + 'a {
        self.0.iter().copied()
    }

    pub(super) fn parse(body: &'a [u8]) -> Result<AckRanges<'a>, Malformed> {
        let ranges = <[AckRange]>::ref_from_bytes(body).map_err(|_| Malformed::Length)?;
        let sound = |range: &AckRange| range.gap.get() > 0 && range.run.get() > 0;
        if ranges.is_empty() || ranges.len() > ACK_RANGES_PER_RECORD || !ranges.iter().all(sound) {
            return Err(Malformed::Value);
        }
        Ok(AckRanges(ranges))
    }
}
