//! What went over the lab's wires: frames as the nodes sent them, with the time of each.
//!
//! The packet sockets are opened in the lab and handed to this process, which needs no rights.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::time::{ClockId, clock_gettime};

use super::control::Control;
use super::net::{FRAME_LEN_MAX, PacketSocket};
use super::protocol::{Answer, Order};

/// Link type Ethernet in a capture file.
const LINKTYPE_ETHERNET: u32 = 1;
/// Marks a capture file whose times are in nanoseconds.
const PCAP_MAGIC_NS: u32 = 0xa1b2_3c4d;
/// After the last event the switch may still be handing over a frame.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// A frame that a node sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When the switch received it, CLOCK_MONOTONIC, nanoseconds.
    pub t_ns: u64,
    /// When that was since 1970.
    pub since_1970: Duration,
    /// The node that sent it.
    pub node: String,
    /// The frame, with its Ethernet header.
    pub bytes: Vec<u8>,
}

/// A running capture.
pub struct Capture {
    stop: Arc<EventFd>,
    thread: JoinHandle<io::Result<Vec<Frame>>>,
}

impl Capture {
    /// Starts to record.
    ///
    /// # Errors
    /// No such lab.
    pub fn start(lab: &str) -> io::Result<Capture> {
        let (answer, fds) = Control::connect(lab)?.order(&Order::Capture)?;
        let Answer::Ports { nodes } = answer else {
            return Err(io::Error::other(
                "the supervisor answered something else than ports",
            ));
        };
        let sockets = fds.into_iter().map(PacketSocket::from_received);
        let ports: Vec<(String, PacketSocket)> = nodes.into_iter().zip(sockets).collect();
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || record(&ports, &stopped))?;
        Ok(Capture { stop, thread })
    }

    /// Stops and returns the frames in order of time.
    ///
    /// # Errors
    /// The lab ended meanwhile.
    pub fn finish(self) -> io::Result<Vec<Frame>> {
        std::thread::sleep(SETTLE_TIME);
        self.stop.write(1)?;
        let frames = self.thread.join();
        let mut frames =
            frames.unwrap_or_else(|_| Err(io::Error::other("the capture panicked")))?;
        frames.sort_by_key(|frame| frame.t_ns);
        Ok(frames)
    }
}

fn record(ports: &[(String, PacketSocket)], stop: &EventFd) -> io::Result<Vec<Frame>> {
    let lead = clock_lead()?;
    let mut frames = Vec::new();
    let mut buffer = vec![0; FRAME_LEN_MAX];
    loop {
        let mut ready: Vec<PollFd<'_>> = ports
            .iter()
            .map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        ready.push(PollFd::new(stop.as_fd(), PollFlags::POLLIN));
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let stopped = ready
            .last()
            .and_then(PollFd::revents)
            .is_some_and(|events| !events.is_empty());
        for (node, socket) in ports {
            // A port that is down says so once per attempt and is read again when it is up.
            while let Ok(Some((len, since_1970))) = socket.try_receive_stamped(&mut buffer) {
                let t_ns = (since_1970.saturating_sub(lead)).as_nanos() as u64;
                let bytes = buffer[..len].to_vec();
                frames.push(Frame {
                    t_ns,
                    since_1970,
                    node: node.clone(),
                    bytes,
                });
            }
        }
        if stopped {
            return Ok(frames);
        }
    }
}

/// How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC: packets are stamped with the one, traced
/// events with the other.
fn clock_lead() -> io::Result<Duration> {
    let monotonic = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    let real = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME)?);
    Ok(real.saturating_sub(monotonic))
}

/// Writes frames as a capture file (pcap, nanoseconds) that Wireshark and tcpdump read.
///
/// # Errors
/// What `out` says.
pub fn write_pcap(frames: &[Frame], mut out: impl Write) -> io::Result<()> {
    let mut head = PCAP_MAGIC_NS.to_ne_bytes().to_vec();
    head.extend([2u16, 4].into_iter().flat_map(u16::to_ne_bytes));
    let words = [0, 0, FRAME_LEN_MAX as u32, LINKTYPE_ETHERNET];
    head.extend(words.into_iter().flat_map(u32::to_ne_bytes));
    out.write_all(&head)?;
    for frame in frames {
        let (at, len) = (frame.since_1970, frame.bytes.len() as u32);
        let words = [at.as_secs() as u32, at.subsec_nanos(), len, len];
        let head: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        out.write_all(&head)?;
        out.write_all(&frame.bytes)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_file_has_its_header_and_each_frame_its_own() {
        let frame = Frame {
            t_ns: 1,
            since_1970: Duration::new(5, 7),
            node: "magenta".into(),
            bytes: vec![9; 60],
        };
        let mut file = Vec::new();
        write_pcap(&[frame.clone(), frame], &mut file).expect("memory takes everything");
        assert_eq!(file.len(), 24 + 2 * (16 + 60));
        assert_eq!(file[0..4], PCAP_MAGIC_NS.to_ne_bytes());
        assert_eq!(file[24..28], 5u32.to_ne_bytes());
        assert_eq!(file[28..32], 7u32.to_ne_bytes());
        assert_eq!(file[32..36], 60u32.to_ne_bytes());
    }
}
