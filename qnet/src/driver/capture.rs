//! Writes every frame in and out to a pcapng file, for Wireshark and tcpdump, from the start to the end.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use ipc_core::Wake;
use qnet_proto::{LinkId, Time};

use crate::driver::{
    Link, LinkCounters, LinkError, Mac,
    pcapng::{self, Direction},
};

/// The file that is written.
struct Output {
    file: BufWriter<File>,
    path: PathBuf,
}

/// A link around a link that records every frame.
///
/// The file is complete whenever the link has slept since the last frame.
pub struct CaptureLink<L> {
    inner: L,
    file: Option<Output>,
    /// The block of the frame that is being written.
    block: Vec<u8>,
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
        let mut block = Vec::new();
        pcapng::begin(&mut block, interfaces);
        file.write_all(&block)?;
        file.flush()?;
        Ok(CaptureLink {
            inner,
            file: Some(Output {
                file,
                path: path.to_owned(),
            }),
            block,
        })
    }

    /// Runs `write` on the file; a failed one ends the capture, never the link.
    fn with_file(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        with_file(&mut self.file, write);
    }
}

fn with_file(
    output: &mut Option<Output>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) {
    if let Some(open) = output
        && let Err(error) = write(&mut open.file)
    {
        let path = open.path.display();
        tracing::error!(
            "the capture ends here, {path} cannot be written: {error}; all else goes on. Once there is room, record with: \
             qnet capture -b BYTES FILE"
        );
        *output = None;
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
        self.inner.frame_buffer()
    }

    fn queue_to(&mut self, port: LinkId, len: usize) {
        if let Some(buffer) = self.inner.frame_buffer() {
            self.block.clear();
            pcapng::push_frame(&mut self.block, port, &buffer[..len], Direction::Out, 0);
            with_file(&mut self.file, |file| file.write_all(&self.block));
        }
        self.inner.queue_to(port, len);
    }

    fn wake(&mut self, wakes: &[Wake]) {
        self.inner.wake(wakes);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        self.with_file(|file| file.flush());
        self.inner.wait(timeout)
    }

    fn wait_until(&mut self, now: Time, until: Option<Time>) -> Result<(), LinkError> {
        self.with_file(|file| file.flush());
        self.inner.wait_until(now, until)
    }

    fn may_have_rung(&self) -> bool {
        self.inner.may_have_rung()
    }

    fn nothing_changed(&mut self) {
        self.inner.nothing_changed();
    }

    fn rest(&mut self, span: Duration) -> Result<(), LinkError> {
        self.with_file(|file| file.flush());
        self.inner.rest(span)
    }

    fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])> {
        let (port, frame) = self.inner.next_frame_from()?;
        self.block.clear();
        pcapng::push_frame(&mut self.block, port, frame, Direction::In, 0);
        with_file(&mut self.file, |file| file.write_all(&self.block));
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
