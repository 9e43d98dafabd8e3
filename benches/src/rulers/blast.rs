//! B7: as many frames a second as raw packet sockets move from one node to the other, none lost.
//!
//! Two ways, of which the better is the ruler: `sendmmsg` with `recvmmsg`, and io_uring. The receiver tells by
//! a word in shared memory how many frames it has seen, and the sender keeps within a window of that: the
//! cheapest flow control there can be, so that nothing is dropped and nothing is sent for nobody.
//!
//! A round is one message of the setting's size: one frame where it fits, as many full ones as it needs
//! where not. The number of the frame is stamped on its pages, and the receiver sums all its bytes.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::method::{Arm, Side, Stopwatch};
use crate::nodes::Node;
use crate::payload;
use crate::rulers::packet::HEADER_LEN;
use crate::setting::Setting;
use crate::sys::map::SharedMap;
use crate::sys::mmsg::Batch;
use crate::sys::packet::{ETHERTYPE, PacketSocket};
use crate::sys::ring::FrameRing;

/// Frames in one system call.
const BATCH: usize = 64;
/// Bytes of an Ethernet header.
pub(super) const ETHERNET_LEN: usize = 14;
/// What the receiving socket may hold, and how much of it the window uses: the kernel counts a frame at more
/// than its bytes.
const BUFFER_LEN: usize = 64 << 20;
const WINDOW_LEN: usize = BUFFER_LEN / 4;
const FRAME_COST: usize = 2048;
/// Where the receiver's count lies.
const SEEN_AT: usize = 0;

/// B7 by `sendmmsg` and `recvmmsg`.
///
/// # Errors
/// No right to open packet sockets, no memory or no processes.
pub fn by_mmsg(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let shape = Shape::of(setting);
    let theirs = Rc::new(SharedMap::new(4096)?);
    let ours = Rc::clone(&theirs);
    setting
        .arm("B7 mmsg")
        .seat(setting.server(), |_| {
            let socket = open(server, ETHERTYPE)?;
            let mut batch = Batch::new(BATCH, shape.frame_len);
            Ok(Box::new(Receiver::new(shape, theirs, move |see| {
                let count = batch.receive(socket.as_fd(), BATCH)?;
                (0..count).try_for_each(|at| see(batch.received(at)))
            })))
        })?
        .seat(setting.client(), |_| {
            let socket = open(client, ETHERTYPE)?;
            let mut batch = Batch::new(BATCH, shape.frame_len);
            for at in 0..BATCH {
                address(batch.frame_mut(at), client, server, ETHERTYPE);
            }
            Ok(Box::new(Sender::new(shape, ours, move |numbers| {
                let count = (numbers.end - numbers.start) as usize;
                for (at, number) in numbers.enumerate() {
                    payload::stamp(&mut batch.frame_mut(at)[HEADER_LEN..], number);
                }
                Ok(batch.send(socket.as_fd(), count)?)
            })))
        })
}

/// B7 by io_uring.
///
/// # Errors
/// As [`by_mmsg`], and io_uring refused.
pub fn by_ring(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let shape = Shape::of(setting);
    let theirs = Rc::new(SharedMap::new(4096)?);
    let ours = Rc::clone(&theirs);
    setting
        .arm("B7 io_uring")
        .seat(setting.server(), |_| {
            let socket = open(server, ETHERTYPE)?;
            let mut ring = FrameRing::new(socket.as_fd(), BATCH, shape.frame_len)?;
            Ok(Box::new(Receiver::new(shape, theirs, move |see| {
                let _open = &socket;
                ring.receive(see).map(|_| ())
            })))
        })?
        .seat(setting.client(), |_| {
            let socket = open(client, ETHERTYPE)?;
            let mut ring = FrameRing::new(socket.as_fd(), BATCH, shape.frame_len)?;
            for at in 0..BATCH {
                address(ring.frame_mut(at), client, server, ETHERTYPE);
            }
            Ok(Box::new(Sender::new(shape, ours, move |numbers| {
                let _open = &socket;
                let count = (numbers.end - numbers.start) as usize;
                for (at, number) in numbers.enumerate() {
                    payload::stamp(&mut ring.frame_mut(at)[HEADER_LEN..], number);
                }
                Ok(ring.send(count)?)
            })))
        })
}

/// How a message becomes frames.
#[derive(Clone, Copy)]
struct Shape {
    frame_len: usize,
    frames_per_round: u64,
    window: u64,
}

impl Shape {
    fn of(setting: &Setting) -> Shape {
        let room = ETHERNET_LEN + setting.load.mtu as usize - HEADER_LEN;
        let payload_len = setting.bytes.min(room) / 8 * 8;
        Shape {
            frame_len: HEADER_LEN + payload_len,
            frames_per_round: setting.bytes.div_ceil(payload_len) as u64,
            window: (WINDOW_LEN / (HEADER_LEN + payload_len + FRAME_COST)).max(2 * BATCH) as u64,
        }
    }

    fn payload_len(&self) -> usize {
        self.frame_len - HEADER_LEN
    }
}

/// A socket on the node's end of the wire, with room for a window; the process becomes one of the node's.
pub(super) fn open(node: &Node, ethertype: u16) -> crate::Result<PacketSocket> {
    node.enter()?;
    let socket = PacketSocket::open_type(node.index, false, ethertype)?;
    socket.set_receive_buffer(BUFFER_LEN)?;
    Ok(socket)
}

/// Writes the Ethernet header.
pub(super) fn address(frame: &mut [u8], from: &Node, to: &Node, ethertype: u16) {
    frame[..6].copy_from_slice(&to.mac);
    frame[6..12].copy_from_slice(&from.mac);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
}

/// The measured side: `receive` shows the frames of one system call to what it is given.
struct Receiver<F> {
    shape: Shape,
    map: Rc<SharedMap>,
    receive: F,
    seen: u64,
}

impl<F> Receiver<F>
where
    F: FnMut(&mut dyn FnMut(&[u8]) -> crate::Result<()>) -> crate::Result<()>,
{
    fn new(shape: Shape, map: Rc<SharedMap>, receive: F) -> Receiver<F> {
        let seen = 0;
        Receiver {
            shape,
            map,
            receive,
            seen,
        }
    }
}

impl<F> Side for Receiver<F>
where
    F: FnMut(&mut dyn FnMut(&[u8]) -> crate::Result<()>) -> crate::Result<()>,
{
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let last = self.seen + u64::from(rounds) * self.shape.frames_per_round;
        let payload_len = self.shape.payload_len();
        while self.seen < last {
            let seen = &mut self.seen;
            (self.receive)(&mut |frame| {
                *seen += 1;
                // A frame lost or overtaken shows here: the run is without loss, or without a figure.
                let expected = payload::stamped_sum(payload_len, *seen);
                match frame.get(HEADER_LEN..).map(payload::sum) {
                    Some(sum) if sum == expected => Ok(()),
                    _ => Err(payload::wrong(*seen)),
                }
            })?;
            let count = self.map.word64(SEEN_AT);
            count.store(self.seen, Ordering::Release);
            watch.lap();
        }
        Ok(())
    }
}

/// The other side: `send` sends the frames of these numbers, at most [`BATCH`].
struct Sender<F> {
    shape: Shape,
    map: Rc<SharedMap>,
    send: F,
    sent: u64,
}

impl<F: FnMut(std::ops::Range<u64>) -> crate::Result<()>> Sender<F> {
    fn new(shape: Shape, map: Rc<SharedMap>, send: F) -> Sender<F> {
        let sent = 0;
        Sender {
            shape,
            map,
            send,
            sent,
        }
    }
}

impl<F> Side for Sender<F>
where
    F: FnMut(std::ops::Range<u64>) -> crate::Result<()>,
{
    fn run(&mut self, rounds: u32, _: &mut Stopwatch) -> crate::Result<()> {
        let last = self.sent + u64::from(rounds) * self.shape.frames_per_round;
        while self.sent < last {
            let next = last.min(self.sent + BATCH as u64);
            while next - self.map.word64(SEEN_AT).load(Ordering::Acquire) > self.shape.window {
                std::hint::spin_loop();
            }
            (self.send)(self.sent + 1..next + 1)?;
            self.sent = next;
        }
        Ok(())
    }
}
