//! Writes every frame in and out to a pcapng file, for Wireshark and tcpdump.
//!
//! Format: draft-ietf-opsawg-pcapng, one section, one Ethernet interface for each port, nanosecond timestamps.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use qnet_proto::LinkId;

use crate::driver::{Link, LinkCounters, LinkError, Mac};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u16 = 1;

const OPTION_END: u16 = 0;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_TSRESOL: u16 = 9;
const OPTION_EPB_FLAGS: u16 = 2;

/// Which way a frame went (the two low bits of epb_flags).
#[derive(Clone, Copy)]
enum Direction {
    In = 1,
    Out = 2,
}

/// A link around a link that records every frame.
///
/// The file is complete whenever the link has slept since the last frame.
pub struct CaptureLink<L> {
    inner: L,
    file: Option<BufWriter<File>>,
    out: Vec<u8>,
}

impl<L: Link> CaptureLink<L> {
    /// Records the frames of `inner` into a new file at `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(inner: L, path: &Path, interface: &str) -> io::Result<CaptureLink<L>> {
        CaptureLink::create_ports(inner, path, &[interface.to_owned()])
    }

    /// As [`CaptureLink::create`], for a link whose ports have these names: each is an interface of the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create_ports(
        inner: L,
        path: &Path,
        interfaces: &[String],
    ) -> io::Result<CaptureLink<L>> {
        let mut file = BufWriter::with_capacity(256 << 10, File::create(path)?);
        write_section(&mut file)?;
        for interface in interfaces {
            write_interface(&mut file, interface)?;
        }
        file.flush()?;
        let out = vec![0; crate::driver::ETHERNET_HEADER_LEN + inner.mtu()];
        Ok(CaptureLink {
            inner,
            file: Some(file),
            out,
        })
    }

    /// Runs `write` on the file; a failed one ends the capture, never the link.
    fn with_file(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        with_file(&mut self.file, write);
    }
}

fn with_file(
    file: &mut Option<BufWriter<File>>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) {
    if let Some(open) = file
        && let Err(error) = write(open)
    {
        tracing::error!("the capture ends here, its file cannot be written: {error}");
        *file = None;
    }
}

impl<L: Link> Link for CaptureLink<L> {
    fn mac(&self) -> Mac {
        self.inner.mac()
    }

    fn mtu(&self) -> usize {
        self.inner.mtu()
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        self.inner.frame_buffer()?;
        Some(&mut self.out)
    }

    fn queue_to(&mut self, port: LinkId, len: usize) {
        let frame = &self.out[..len];
        with_file(&mut self.file, |file| {
            write_frame(file, port, frame, Direction::Out)
        });
        if let Some(buffer) = self.inner.frame_buffer() {
            buffer[..len].copy_from_slice(&self.out[..len]);
            self.inner.queue_to(port, len);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        self.with_file(|file| file.flush());
        self.inner.wait(timeout)
    }

    fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])> {
        let (port, frame) = self.inner.next_frame_from()?;
        with_file(&mut self.file, |file| {
            write_frame(file, port, frame, Direction::In)
        });
        Some((port, frame))
    }

    fn next_carrier(&mut self) -> Option<(LinkId, bool)> {
        self.inner.next_carrier()
    }

    fn counters(&self) -> LinkCounters {
        self.inner.counters()
    }

    fn counters_of(&self, port: LinkId) -> LinkCounters {
        self.inner.counters_of(port)
    }
}

fn write_section(to: &mut impl Write) -> io::Result<()> {
    let mut section = Vec::new();
    section.extend(BYTE_ORDER_MAGIC.to_le_bytes());
    section.extend([1, 0, 0, 0]); // version 1.0
    section.extend((-1_i64).to_le_bytes()); // length of the section: not known
    write_block(to, SECTION_HEADER, &section)
}

fn write_interface(to: &mut impl Write, interface: &str) -> io::Result<()> {
    let mut description = Vec::new();
    description.extend(LINKTYPE_ETHERNET.to_le_bytes());
    description.extend([0; 2]);
    description.extend(0_u32.to_le_bytes()); // no limit to a frame's length
    push_option(&mut description, OPTION_IF_NAME, interface.as_bytes());
    push_option(&mut description, OPTION_IF_TSRESOL, &[9]); // 10^-9 s
    push_option(&mut description, OPTION_END, &[]);
    write_block(to, INTERFACE_DESCRIPTION, &description)
}

fn write_frame(
    to: &mut impl Write,
    port: LinkId,
    frame: &[u8],
    direction: Direction,
) -> io::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ns = now.as_nanos() as u64;
    let mut packet = Vec::with_capacity(frame.len() + 48);
    packet.extend(u32::from(port.0).to_le_bytes()); // the interface
    packet.extend(((now_ns >> 32) as u32).to_le_bytes());
    packet.extend((now_ns as u32).to_le_bytes());
    packet.extend((frame.len() as u32).to_le_bytes()); // bytes here
    packet.extend((frame.len() as u32).to_le_bytes()); // bytes on the wire
    packet.extend(frame);
    pad(&mut packet);
    push_option(
        &mut packet,
        OPTION_EPB_FLAGS,
        &(direction as u32).to_le_bytes(),
    );
    push_option(&mut packet, OPTION_END, &[]);
    write_block(to, ENHANCED_PACKET, &packet)
}

/// A block: type, total length, body, total length again. The body's length is a multiple of four.
fn write_block(to: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let len = (body.len() as u32 + 12).to_le_bytes();
    to.write_all(&kind.to_le_bytes())?;
    to.write_all(&len)?;
    to.write_all(body)?;
    to.write_all(&len)
}

fn push_option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    to.extend(code.to_le_bytes());
    to.extend((value.len() as u16).to_le_bytes());
    to.extend(value);
    pad(to);
}

fn pad(to: &mut Vec<u8>) {
    to.resize(to.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_with_the_length_they_start_with() {
        let mut file = Vec::new();
        write_section(&mut file).unwrap();
        write_interface(&mut file, "eth7").unwrap();
        write_frame(&mut file, LinkId(0), &[0xaa; 61], Direction::In).unwrap();

        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let len = word(at + 4) as usize;
            assert_eq!(len % 4, 0);
            assert_eq!(word(at + len - 4) as usize, len);
            kinds.push(word(at));
            at += len;
        }
        assert_eq!(
            kinds,
            [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]
        );
    }
}
