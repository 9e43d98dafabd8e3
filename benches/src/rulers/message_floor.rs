//! The floor of bulk: raw frames as in B7, with what any transport of *messages* must do besides, and no protocol.
//!
//! A message is composed as a whole before its first frame leaves, in memory of its own for each message in flight; its
//! frames are a header and a part of it. The receiver puts their bytes together to a message, and reads that only when it
//! is whole. B7 does neither: it composes and adds up in a few frame buffers, which stay in the cache.
//!
//! No loss is repaired, no frame acknowledged, nobody woken: what a transport needs for that is on top. A word in shared
//! memory says which messages were read, and for as long as there is no room for another one the sender polls it.
//!
//! Three ways, of which the best is the floor; they differ in who puts the bytes in place: the receiver, out of frame
//! buffers filled by `recvmmsg` or by io_uring, or the kernel, once the receiver has looked at the frame's header and
//! said where. (A guess instead of the look would show a reader what is another's.)

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::method::{Arm, Side, Stopwatch};
use crate::nodes::Node;
use crate::payload;
use crate::rulers::blast::{ETHERNET_LEN, address, open};
use crate::rulers::packet::HEADER_LEN;
use crate::setting::Setting;
use crate::sys::gather::{self, Gather, GatherRing};
use crate::sys::map::SharedMap;
use crate::sys::mmsg::Batch;
use crate::sys::ring::FrameRing;

/// Messages in flight: as many as the product's.
const AHEAD: u64 = 4;
/// Frames in one system call at most, and bytes: the receiver has something to do meanwhile.
const BATCH: usize = 64;
const BATCH_LEN: usize = 128 << 10;
/// B7's frames pass on the same wire, between its own sockets.
const ETHERTYPE: u16 = 0x88B8;
/// Where the count of messages that were read lies.
const READ_AT: usize = 0;

/// The floor by `sendmmsg` and `recvmmsg`.
///
/// # Errors
/// No right to open packet sockets, no memory or no processes.
pub fn by_mmsg(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let shape = Shape::of(setting);
    let (theirs, ours) = shared()?;
    setting
        .arm("floor mmsg")
        .seat(setting.server(), |_| {
            let socket = open(server, ETHERTYPE)?;
            let mut batch = Batch::new(BATCH, shape.frame_len_max());
            Ok(Box::new(Reader::new(shape, theirs, move |message| {
                let count = batch.receive(socket.as_fd(), BATCH)?;
                (0..count).try_for_each(|at| message.copy(batch.received(at)))
            })))
        })?
        .seat(setting.client(), |_| {
            let socket = open(client, ETHERTYPE)?;
            let mut gather = Gather::new(BATCH, HEADER_LEN);
            (0..BATCH).for_each(|at| address(gather.head_mut(at), client, server, ETHERTYPE));
            Ok(Box::new(Writer::new(shape, ours, move |first, parts| {
                (first..)
                    .zip(0..parts.len())
                    .for_each(|(number, at)| number_frame(gather.head_mut(at), number));
                Ok(gather.send(socket.as_fd(), parts)?)
            })))
        })
}

/// The floor by io_uring.
///
/// # Errors
/// As [`by_mmsg`], and io_uring refused.
pub fn by_ring(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let shape = Shape::of(setting);
    let (theirs, ours) = shared()?;
    setting
        .arm("floor io_uring")
        .seat(setting.server(), |_| {
            let socket = open(server, ETHERTYPE)?;
            let mut ring = FrameRing::new(socket.as_fd(), BATCH, shape.frame_len_max())?;
            Ok(Box::new(Reader::new(shape, theirs, move |message| {
                let _open = &socket;
                ring.receive(|frame| message.copy(frame)).map(|_| ())
            })))
        })?
        .seat(setting.client(), |_| {
            ring_writer(shape, ours, client, server)
        })
}

/// The floor by io_uring and a look at each frame, whose bytes the kernel then puts into the message.
///
/// # Errors
/// As [`by_ring`].
pub fn by_look(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let shape = Shape::of(setting);
    let (theirs, ours) = shared()?;
    setting
        .arm("floor look")
        .seat(setting.server(), |_| {
            let socket = open(server, ETHERTYPE)?;
            let mut head = [0; HEADER_LEN];
            Ok(Box::new(Reader::new(shape, theirs, move |message| {
                gather::peek(socket.as_fd(), &mut head)?;
                let place = message.place(&head)?;
                let len = gather::receive(socket.as_fd(), &mut head, place)?;
                message.placed(len)
            })))
        })?
        .seat(setting.client(), |_| {
            ring_writer(shape, ours, client, server)
        })
}

fn ring_writer(
    shape: Shape,
    map: Rc<SharedMap>,
    client: &Node,
    server: &Node,
) -> crate::Result<Box<dyn Side>> {
    let socket = open(client, ETHERTYPE)?;
    let mut ring = GatherRing::new(socket.as_fd(), BATCH, HEADER_LEN)?;
    (0..BATCH).for_each(|at| address(ring.head_mut(at), client, server, ETHERTYPE));
    Ok(Box::new(Writer::new(shape, map, move |first, parts| {
        let _open = &socket;
        (first..)
            .zip(0..parts.len())
            .for_each(|(number, at)| number_frame(ring.head_mut(at), number));
        Ok(ring.send(parts)?)
    })))
}

fn shared() -> crate::Result<(Rc<SharedMap>, Rc<SharedMap>)> {
    let map = Rc::new(SharedMap::new(4096)?);
    Ok((Rc::clone(&map), map))
}

fn number_frame(head: &mut [u8], number: u64) {
    head[ETHERNET_LEN..][..8].copy_from_slice(&number.to_ne_bytes());
}

fn frame_number(head: &[u8]) -> Option<u64> {
    let number = head.get(ETHERNET_LEN..HEADER_LEN)?.first_chunk()?;
    Some(u64::from_ne_bytes(*number))
}

/// How a message becomes frames.
#[derive(Clone, Copy)]
struct Shape {
    message_len: usize,
    /// Bytes of a message in each of its frames but the last.
    part_len: usize,
}

impl Shape {
    fn of(setting: &Setting) -> Shape {
        let room = ETHERNET_LEN + setting.load.mtu as usize - HEADER_LEN;
        Shape {
            message_len: setting.bytes,
            part_len: setting.bytes.min(room),
        }
    }

    fn frame_len_max(&self) -> usize {
        HEADER_LEN + self.part_len
    }

    fn frames(&self) -> u64 {
        self.message_len.div_ceil(self.part_len) as u64
    }

    fn batch(&self) -> usize {
        (BATCH_LEN / self.part_len).clamp(1, BATCH)
    }
}

/// The message that is being put together, and those that were.
struct Assembly {
    shape: Shape,
    bytes: Vec<u8>,
    /// Frames taken in all.
    frames: u64,
    /// Messages read in all.
    read: u64,
}

impl Assembly {
    /// Where the bytes of the frame with this header go.
    fn place(&mut self, head: &[u8]) -> crate::Result<&mut [u8]> {
        // A frame lost or overtaken shows here: the run is without loss, or without a figure.
        if frame_number(head) != Some(self.frames) {
            return Err(payload::wrong(self.frames));
        }
        let at = (self.frames % self.shape.frames()) as usize * self.shape.part_len;
        let end = self.shape.message_len.min(at + self.shape.part_len);
        Ok(&mut self.bytes[at..end])
    }

    fn copy(&mut self, frame: &[u8]) -> crate::Result<()> {
        let number = self.frames;
        let place = self.place(frame)?;
        let bytes = frame
            .get(HEADER_LEN..)
            .filter(|bytes| bytes.len() == place.len());
        place.copy_from_slice(bytes.ok_or_else(|| payload::wrong(number))?);
        self.placed(frame.len())
    }

    /// A frame's bytes are where [`Assembly::place`] said; `len` is that of the frame. Reads the message if it was the last.
    fn placed(&mut self, len: usize) -> crate::Result<()> {
        let shape = self.shape;
        self.frames += 1;
        if !self.frames.is_multiple_of(shape.frames()) {
            return match len == shape.frame_len_max() {
                true => Ok(()),
                false => Err(payload::wrong(self.frames)),
            };
        }
        self.read += 1;
        match payload::sum(&self.bytes) == payload::stamped_sum(shape.message_len, self.read) {
            true => Ok(()),
            false => Err(payload::wrong(self.read)),
        }
    }
}

/// The measured side: `receive` takes the frames of one system call to the message.
struct Reader<F> {
    message: Assembly,
    map: Rc<SharedMap>,
    receive: F,
}

impl<F: FnMut(&mut Assembly) -> crate::Result<()>> Reader<F> {
    fn new(shape: Shape, map: Rc<SharedMap>, receive: F) -> Reader<F> {
        let message = Assembly {
            shape,
            bytes: vec![0; shape.message_len],
            frames: 0,
            read: 0,
        };
        Reader {
            message,
            map,
            receive,
        }
    }
}

impl<F: FnMut(&mut Assembly) -> crate::Result<()>> Side for Reader<F> {
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()> {
        let last = self.message.read + u64::from(rounds);
        while self.message.read < last {
            let before = self.message.read;
            (self.receive)(&mut self.message)?;
            if self.message.read > before {
                let count = self.map.word64(READ_AT);
                count.store(self.message.read, Ordering::Release);
                watch.lap();
            }
        }
        Ok(())
    }
}

/// The other side: `send` sends frames from the number given on, which carry these parts of a message.
struct Writer<F> {
    shape: Shape,
    map: Rc<SharedMap>,
    messages: Vec<Vec<u8>>,
    written: u64,
    send: F,
}

impl<F: FnMut(u64, &[&[u8]]) -> crate::Result<()>> Writer<F> {
    fn new(shape: Shape, map: Rc<SharedMap>, send: F) -> Writer<F> {
        Writer {
            shape,
            map,
            messages: vec![vec![0; shape.message_len]; AHEAD as usize],
            written: 0,
            send,
        }
    }
}

impl<F: FnMut(u64, &[&[u8]]) -> crate::Result<()>> Side for Writer<F> {
    fn run(&mut self, rounds: u32, _: &mut Stopwatch) -> crate::Result<()> {
        for _ in 0..rounds {
            // Messages are numbered from 1; the one before in the same memory must have been read.
            let number = self.written + 1;
            while number > self.map.word64(READ_AT).load(Ordering::Acquire) + AHEAD {
                std::hint::spin_loop();
            }
            let message = &mut self.messages[(number % AHEAD) as usize];
            payload::stamp(message, number);
            let parts: Vec<&[u8]> = message.chunks(self.shape.part_len).collect();
            let mut first = self.written * self.shape.frames();
            for parts in parts.chunks(self.shape.batch()) {
                (self.send)(first, parts)?;
                first += parts.len() as u64;
            }
            self.written = number;
        }
        Ok(())
    }
}
