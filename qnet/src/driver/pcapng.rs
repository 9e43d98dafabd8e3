//! The pcapng format, as far as frames need it: one section, one Ethernet interface for each port, nanosecond
//! timestamps, the direction of each frame, and how many frames before it are missing.
//!
//! Format: draft-ietf-opsawg-pcapng, little-endian. Knows no link and no file.

use std::time::{SystemTime, UNIX_EPOCH};

use qnet_proto::LinkId;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u16 = 1;

const OPTION_END: u16 = 0;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_TSRESOL: u16 = 9;
const OPTION_EPB_FLAGS: u16 = 2;
const OPTION_EPB_DROPCOUNT: u16 = 4;

/// Bytes of a block besides its body: type, length, and the length again.
pub const BLOCK_OVERHEAD_LEN: usize = 12;

/// Which way a frame went (the two low bits of epb_flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It was received.
    In = 1,
    /// It was sent.
    Out = 2,
}

/// Appends what a file begins with: the section, and an interface for each port.
pub fn begin(to: &mut Vec<u8>, interfaces: &[String]) {
    let at = open(to, SECTION_HEADER);
    to.extend(BYTE_ORDER_MAGIC.to_le_bytes());
    to.extend([1, 0, 0, 0]); // version 1.0
    to.extend((-1_i64).to_le_bytes()); // length of the section: not known
    close(to, at);
    for interface in interfaces {
        let at = open(to, INTERFACE_DESCRIPTION);
        to.extend(LINKTYPE_ETHERNET.to_le_bytes());
        to.extend([0; 2]);
        to.extend(0_u32.to_le_bytes()); // no limit to a frame's length
        push_option(to, OPTION_IF_NAME, interface.as_bytes());
        push_option(to, OPTION_IF_TSRESOL, &[9]); // 10^-9 s
        push_option(to, OPTION_END, &[]);
        close(to, at);
    }
}

/// Appends a frame of the present moment; `missing` frames before it could not be recorded.
pub fn push_frame(
    to: &mut Vec<u8>,
    port: LinkId,
    frame: &[u8],
    direction: Direction,
    missing: u64,
) {
    push_part(to, port, frame, frame.len(), direction, missing);
}

/// As [`push_frame`], of a frame of `len` bytes of which `kept` is the begin.
pub fn push_part(
    to: &mut Vec<u8>,
    port: LinkId,
    kept: &[u8],
    len: usize,
    direction: Direction,
    missing: u64,
) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ns = now.unwrap_or_default().as_nanos() as u64;
    let at = open(to, ENHANCED_PACKET);
    to.extend(u32::from(port.0).to_le_bytes()); // the interface
    to.extend(((now_ns >> 32) as u32).to_le_bytes());
    to.extend((now_ns as u32).to_le_bytes());
    to.extend((kept.len() as u32).to_le_bytes()); // bytes here
    to.extend((len as u32).to_le_bytes()); // bytes on the wire
    to.extend(kept);
    pad(to);
    push_option(to, OPTION_EPB_FLAGS, &(direction as u32).to_le_bytes());
    if missing > 0 {
        push_option(to, OPTION_EPB_DROPCOUNT, &missing.to_le_bytes());
    }
    push_option(to, OPTION_END, &[]);
    close(to, at);
}

/// Bytes that [`push_frame`] appends at most.
pub fn frame_block_len_max(frame_len: usize) -> usize {
    let options = 8 + 12 + 4;
    BLOCK_OVERHEAD_LEN + 20 + frame_len.next_multiple_of(4) + options
}

/// The first block of `bytes`: how long it is, and whether it is a frame. `None` while it is not all there.
pub fn first_block(bytes: &[u8]) -> Option<(usize, bool)> {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(word.try_into().expect("four bytes")))
    };
    let len = word(4)? as usize;
    (len >= BLOCK_OVERHEAD_LEN && len <= bytes.len()).then_some((len, word(0)? == ENHANCED_PACKET))
}

/// Begins a block: type, total length, body, total length again.
fn open(to: &mut Vec<u8>, kind: u32) -> usize {
    let at = to.len();
    to.extend(kind.to_le_bytes());
    to.extend([0; 4]);
    at
}

/// Ends the block that began at `at`. The body's length is a multiple of four.
fn close(to: &mut Vec<u8>, at: usize) {
    let len = ((to.len() - at + 4) as u32).to_le_bytes();
    to.extend(len);
    to[at + 4..at + 8].copy_from_slice(&len);
}

fn push_option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    to.extend(code.to_le_bytes());
    to.extend((value.len() as u16).to_le_bytes());
    to.extend(value);
    pad(to);
}

/// Every part begins at a multiple of four, and so does every block.
fn pad(to: &mut Vec<u8>) {
    to.resize(to.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_with_the_length_they_start_with() {
        let mut file = Vec::new();
        begin(&mut file, &["eth7".to_owned()]);
        let header_len = file.len();
        push_frame(&mut file, LinkId(0), &[0xaa; 61], Direction::In, 0);
        assert!(file.len() - header_len <= frame_block_len_max(61));
        let second = file.len();
        push_frame(&mut file, LinkId(0), &[0xbb; 64], Direction::Out, 3);
        assert_eq!(file.len() - second, frame_block_len_max(64));

        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let (len, is_frame) = first_block(&file[at..]).unwrap();
            assert_eq!(len % 4, 0);
            assert_eq!(word(at + len - 4) as usize, len);
            assert_eq!(is_frame, word(at) == ENHANCED_PACKET);
            kinds.push(word(at));
            at += len;
        }
        assert_eq!(
            kinds,
            [
                SECTION_HEADER,
                INTERFACE_DESCRIPTION,
                ENHANCED_PACKET,
                ENHANCED_PACKET
            ]
        );
        assert_eq!(
            first_block(&file[..20]),
            None,
            "the first block has 28 bytes"
        );
    }
}
