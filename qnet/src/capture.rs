//! `qnet capture`: the frames of a running qnet as a pcapng file.
//!
//! Reads `/net/.capture`, which qnet fills while it is open. A packet socket of its own would not do: qnet's frames
//! pass by the place where the kernel lets others listen.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use ipc_core::{
    abi::Errno,
    file::{self, describe},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{daemon::StopSignal, driver::pcapng};

/// Where a qnet gives its frames.
const SOURCE: &str = "/net/.capture";
/// Bytes asked for at one time.
const READ_LEN: usize = 1 << 20;
/// Time between two looks when there was nothing new, in milliseconds.
const LOOK_EVERY_MS: u16 = 20;

/// Options of `qnet capture`.
#[derive(Args, Clone, Debug)]
pub struct CaptureOptions {
    /// The file to write (pcapng), or - for standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The node's runtime directory, as given to its qnet [default: $QNET_RUNTIME_DIR, else /run/qnet for root, else
    /// $XDG_RUNTIME_DIR/qnet, else /tmp/qnet-UID]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,

    /// Record on this other node, as far as it lets you (its owner's name or root, not squashed): the first 256 bytes
    /// of each frame, and among them those that bring the recording here
    #[arg(short, long, value_name = "NODE")]
    pub node: Option<String>,

    /// Stop after so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,

    /// Stop after so many frames
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,

    /// Stop before the file has more bytes than this
    #[arg(short, long, value_name = "LEN", value_parser = clap::value_parser!(u64).range(1..))]
    pub bytes: Option<u64>,
}

/// What was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Frames in the file.
    pub frames: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames, {} bytes", self.frames, self.bytes)
    }
}

/// Records until a limit, or until told to stop.
///
/// # Errors
/// What failed, the likely cause and what mends it, for a person to read.
pub fn run(options: &CaptureOptions, stop: &StopSignal) -> Result<Captured, String> {
    let path = match &options.node {
        Some(node) => format!("/net/{node}{SOURCE}"),
        None => SOURCE.to_owned(),
    };
    let source = file::File::open(&path).map_err(|errno| refused(errno, &path))?;
    let shown = options.file.display();
    let out = open_out(&options.file).map_err(|error| {
        format!("cannot write {shown}: {error}; name a file in a folder that you may write to")
    })?;
    let mut sink = Sink::new(out, options);
    let deadline = options
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut buffer = vec![0; READ_LEN];
    loop {
        let len = match source.read(&mut buffer) {
            Ok(len) => len,
            Err(Errno::EINTR) => 0,
            Err(errno) => {
                return Err(format!(
                    "{}; recorded: {}",
                    describe(errno, &path),
                    sink.done
                ));
            }
        };
        let goes_on = sink.put(&buffer[..len]).map_err(|error| {
            let done = sink.done;
            format!("cannot write {shown}: {error}; recorded: {done}; make room there, or bound the file with -b BYTES")
        })?;
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let told = stop
            .try_take()
            .map_err(|error| format!("cannot wait for signals: {error}"))?;
        if !goes_on || is_late || told.is_some() {
            return Ok(sink.done);
        }
        // From another node each read makes frames of its own, which the next one brings.
        if len == 0 || (options.node.is_some() && len < READ_LEN / 4) {
            let mut ready = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
            // Whatever ends the wait, the next round looks at everything.
            let _ = poll(&mut ready, PollTimeout::from(LOOK_EVERY_MS));
        }
    }
}

fn refused(errno: Errno, path: &str) -> String {
    match errno {
        Errno::EBUSY => {
            format!("{path}: somebody records there already, and one can at a time; end that first")
        }
        // On another node whom root counts as is up to that node: that is what the general text says.
        Errno::EACCES | Errno::EPERM if path == SOURCE => format!(
            "{path}: {errno}: frames hold everybody's data; record as the user that qnet runs as, or as root"
        ),
        Errno::EACCES | Errno::EPERM => format!(
            "{}; or record on that node itself, as the user that its qnet runs as",
            describe(errno, path)
        ),
        Errno::ENOENT if path == SOURCE => {
            format!("{path}: nobody serves it; start it with: qnet --interface IF")
        }
        errno => describe(errno, path),
    }
}

fn open_out(path: &Path) -> io::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    Ok(Box::new(File::create(path)?))
}

/// Writes whole blocks, as many as the limits allow.
struct Sink<W> {
    out: W,
    frames_max: u64,
    bytes_max: u64,
    /// The begin of a block whose end has not come yet.
    part: Vec<u8>,
    done: Captured,
}

impl<W: Write> Sink<W> {
    fn new(out: W, options: &CaptureOptions) -> Sink<W> {
        Sink {
            out,
            frames_max: options.frames.unwrap_or(u64::MAX),
            bytes_max: options.bytes.unwrap_or(u64::MAX),
            part: Vec::new(),
            done: Captured::default(),
        }
    }

    /// Takes what came; whether there may be more.
    fn put(&mut self, bytes: &[u8]) -> io::Result<bool> {
        self.part.extend_from_slice(bytes);
        let mut whole = 0;
        let mut goes_on = true;
        let mut done = self.done;
        while let Some((len, is_frame)) = pcapng::first_block(&self.part[whole..]) {
            if done.bytes + len as u64 > self.bytes_max {
                goes_on = false;
                break;
            }
            whole += len;
            done.bytes += len as u64;
            done.frames += u64::from(is_frame);
            if done.frames == self.frames_max {
                goes_on = false;
                break;
            }
        }
        self.out.write_all(&self.part[..whole])?;
        self.out.flush()?;
        self.done = done;
        self.part.drain(..whole);
        Ok(goes_on)
    }
}

#[cfg(test)]
mod tests {
    use qnet_proto::LinkId;

    use super::*;
    use crate::driver::pcapng::Direction;

    fn sink(frames: Option<u64>, bytes: Option<u64>) -> Sink<Vec<u8>> {
        let options = CaptureOptions {
            file: "-".into(),
            runtime_dir: None,
            node: None,
            seconds: None,
            frames,
            bytes,
        };
        Sink::new(Vec::new(), &options)
    }

    fn stream(frames: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        pcapng::begin(&mut stream, &["eth7".to_owned()]);
        for _ in 0..frames {
            pcapng::push_frame(&mut stream, LinkId(0), &[7; 60], Direction::In, 0);
        }
        stream
    }

    #[test]
    fn whole_blocks_are_written_however_they_come() {
        let stream = stream(3);
        let mut sink = sink(None, None);
        for byte in &stream[..stream.len() - 1] {
            assert!(sink.put(&[*byte]).unwrap());
        }
        assert_eq!(sink.done.frames, 2, "the last is not complete");
        assert_eq!(sink.out.len() as u64, sink.done.bytes);
        assert!(stream.starts_with(&sink.out));
        assert!(sink.put(&stream[stream.len() - 1..]).unwrap());
        assert_eq!(sink.out, stream);
    }

    #[test]
    fn limits_end_it_between_blocks() {
        let stream = stream(9);
        let mut counted = sink(Some(4), None);
        assert!(!counted.put(&stream).unwrap());
        assert_eq!(counted.done.frames, 4);
        let len = counted.out.len() as u64;
        let mut bounded = sink(None, Some(len + 3));
        assert!(!bounded.put(&stream).unwrap());
        assert_eq!(bounded.out, counted.out);
    }
}
