//! What a link is to the network-handler thread.

use std::{io, time::Duration};

use ipc_core::{MappedBytes, Wake};
use qnet_proto::{Histogram, LinkId, Mac, Time};
use serde::Serializer;

use crate::driver::LinkError;

/// Bytes of a frame that are not in its buffer but where a message lies.
#[derive(Debug)]
pub struct Hole {
    /// Where in the frame they belong.
    pub at: usize,
    /// Where they are.
    pub bytes: MappedBytes,
}

/// A frame that was received.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The port that it came through.
    pub port: LinkId,
    /// The frame; in its hole, if it has one, anything.
    pub frame: &'a [u8],
    /// Whether a part of it was put where it was wanted, and is not in the frame.
    pub has_hole: bool,
}

impl Hole {
    /// Where in the frame they end.
    pub fn end(&self) -> usize {
        self.at + self.bytes.len()
    }

    /// Copies the bytes to where they belong.
    ///
    /// # Panics
    /// When that is not inside the frame.
    pub fn fill(&self, frame: &mut [u8]) {
        let room = &mut frame[self.at..self.end()];
        let read = self.bytes.read(room);
        room[read..].fill(0);
    }
}

/// Where whole Ethernet frames go out and come in: one port or several, counted from 0. Used by one thread.
///
/// Frames are unreliable: any may be lost, repeated or overtaken. A round of the thread is: take what
/// came ([`Link::next_frame`]), fill and queue what is to go ([`Link::frame_buffer`], [`Link::queue`]),
/// then [`Link::wait`], which hands everything queued to the kernel at once.
pub trait Link {
    /// The station's own address on its first port.
    fn mac(&self) -> Mac;

    /// Bytes behind the Ethernet header that a frame may carry, on the port that takes most.
    fn mtu(&self) -> usize;

    /// The next free send buffer, `14 + mtu` bytes, of any content; `None` while the kernel holds all.
    /// Asking again without [`Link::queue`] gives the same buffer.
    fn frame_buffer(&mut self) -> Option<&mut [u8]>;

    /// Queues the first `len` bytes of the buffer that [`Link::frame_buffer`] gave last, to leave through
    /// a port.
    ///
    /// # Panics
    /// Without such a buffer, or when `len` is larger than it, or without such a port.
    fn queue_to(&mut self, port: LinkId, len: usize);

    /// As [`Link::queue_to`], for a frame that has a hole: the bytes that belong there are taken from where they
    /// are when the frame leaves.
    ///
    /// # Panics
    /// As [`Link::queue_to`], or when the hole is not inside the frame.
    fn queue_with_hole_to(&mut self, port: LinkId, len: usize, hole: Hole) {
        let frame = self.frame_buffer();
        let frame = frame.expect("a buffer was asked for before it is queued");
        hole.fill(frame);
        self.queue_to(port, len);
    }

    /// As [`Link::queue_to`] for the first port.
    fn queue(&mut self, len: usize) {
        self.queue_to(LinkId(0), len);
    }

    /// Wakes others of this node: at once, or behind the frames that are queued already, with the next wait at the
    /// latest.
    fn wake(&mut self, wakes: &[Wake]);

    /// Submits what is queued, then sleeps until a frame or a completion comes, a doorbell rings or
    /// `timeout` is over. `None` sleeps without end, [`Duration::ZERO`] not at all.
    ///
    /// # Errors
    /// The interface has gone, or the ring is broken; the link is of no more use.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError>;

    /// As [`Link::wait`], until the moment `until`, for who has read [`now`](crate::driver::now) a moment ago
    /// and need not read it again.
    ///
    /// # Errors
    /// As [`Link::wait`].
    fn wait_until(&mut self, now: Time, until: Option<Time>) -> Result<(), LinkError> {
        self.wait(until.map(|until| until - now))
    }

    /// Whether a doorbell may have rung since the thread looked for what it rings for. `false` is certain: the
    /// last wait announced its sleep to all, found nothing there, and none rang before it ended.
    fn may_have_rung(&self) -> bool {
        true
    }

    /// Says, for the next wait, that the thread has done nothing since the last one by which the source of a
    /// doorbell could have something without a ring: a sleep that is still announced need not be announced
    /// anew.
    fn nothing_changed(&mut self) {}

    /// As [`Link::wait`], but the thread does not want to be woken by the next frame or doorbell: more is known to
    /// come, and it looks at all of it after `span`. May end sooner, if something else happens.
    ///
    /// # Errors
    /// As [`Link::wait`].
    fn rest(&mut self, span: Duration) -> Result<(), LinkError>;

    /// The next received frame and the port it came through: of this link's EtherType, for this station or
    /// for all, and no longer than `14 + mtu`. Others are counted and dropped. The bytes stay until the next
    /// use of the link.
    fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])>;

    /// As [`Link::next_frame_from`], but `place` may be shown a frame before: its bytes up to the given length, and of
    /// any content behind. The part for which it names a place is put there. It may be asked for frames that are dropped
    /// before one is returned.
    ///
    /// The bytes of the hole must be the caller's to write: the room of a loan.
    fn next_frame_placing(
        &mut self,
        _place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> Option<Arrived<'_>> {
        let (port, frame) = self.next_frame_from()?;
        let has_hole = false;
        Some(Arrived {
            port,
            frame,
            has_hole,
        })
    }

    /// As [`Link::next_frame_from`], whatever the port is.
    fn next_frame(&mut self) -> Option<&[u8]> {
        self.next_frame_from().map(|(_, frame)| frame)
    }

    /// The next port whose carrier came (`true`) or went. All have one until this says otherwise.
    fn next_carrier(&mut self) -> Option<(LinkId, bool)> {
        None
    }

    /// What went through all ports so far.
    fn counters(&self) -> LinkCounters;

    /// What went through one port so far; the waits are those of all.
    fn counters_of(&self, port: LinkId) -> LinkCounters;
}

/// What went through a link since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LinkCounters {
    /// Frames that the kernel took.
    pub frames_sent: u64,
    /// Their bytes, Ethernet header included.
    pub bytes_sent: u64,
    /// Frames given to the thread.
    pub frames_received: u64,
    /// Their bytes, Ethernet header included.
    pub bytes_received: u64,
    /// Frames the kernel refused: full queue, interface down. The transport sends their bytes again.
    pub sends_failed: u64,
    /// Received frames dropped for another EtherType or another station's address.
    pub foreign: u64,
    /// Received frames dropped for being shorter than a header or longer than the MTU allows.
    pub bad_length: u64,
    /// Received frames that the kernel dropped because the socket's buffer was full: the thread was busy for longer than
    /// the buffer lasts. Their bytes are sent again. The kernel counts modulo 2^32.
    pub overflowed: u64,
    /// Times the receive buffers ran out, or the interface was down, and receiving had to be re-armed.
    pub receive_restarts: u64,
    /// System calls made by [`Link::wait`] and [`Link::rest`], of all ports together.
    pub waits: u64,
    /// Frames that one of these handed to the kernel for this port, or for all of them.
    #[serde(serialize_with = "histogram")]
    pub batches: Histogram,
}

/// As a map from class to count.
pub(crate) fn histogram<S: Serializer>(of: &Histogram, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(of.classes())
}

impl LinkCounters {
    /// Adds what another port counted.
    pub(super) fn add(&mut self, other: &LinkCounters) {
        self.frames_sent += other.frames_sent;
        self.bytes_sent += other.bytes_sent;
        self.frames_received += other.frames_received;
        self.bytes_received += other.bytes_received;
        self.sends_failed += other.sends_failed;
        self.foreign += other.foreign;
        self.bad_length += other.bad_length;
        self.overflowed += other.overflowed;
        self.receive_restarts += other.receive_restarts;
        self.waits += other.waits;
    }
}

impl Link for Box<dyn Link> {
    fn mac(&self) -> Mac {
        (**self).mac()
    }

    fn mtu(&self) -> usize {
        (**self).mtu()
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        (**self).frame_buffer()
    }

    fn queue_to(&mut self, port: LinkId, len: usize) {
        (**self).queue_to(port, len);
    }

    fn queue_with_hole_to(&mut self, port: LinkId, len: usize, hole: Hole) {
        (**self).queue_with_hole_to(port, len, hole);
    }

    fn wake(&mut self, wakes: &[Wake]) {
        (**self).wake(wakes);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        (**self).wait(timeout)
    }

    fn wait_until(&mut self, now: Time, until: Option<Time>) -> Result<(), LinkError> {
        (**self).wait_until(now, until)
    }

    fn may_have_rung(&self) -> bool {
        (**self).may_have_rung()
    }

    fn nothing_changed(&mut self) {
        (**self).nothing_changed();
    }

    fn rest(&mut self, span: Duration) -> Result<(), LinkError> {
        (**self).rest(span)
    }

    fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])> {
        (**self).next_frame_from()
    }

    fn next_frame_placing(
        &mut self,
        place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> Option<Arrived<'_>> {
        (**self).next_frame_placing(place)
    }

    fn next_carrier(&mut self) -> Option<(LinkId, bool)> {
        (**self).next_carrier()
    }

    fn counters(&self) -> LinkCounters {
        (**self).counters()
    }

    fn counters_of(&self, port: LinkId) -> LinkCounters {
        (**self).counters_of(port)
    }
}

/// Maps the kernel's word on a wait to the link's: timeouts and signals are no errors.
pub(super) fn wait_outcome(outcome: io::Result<usize>) -> Result<(), LinkError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(LinkError::Ring(error)),
        },
    }
}
