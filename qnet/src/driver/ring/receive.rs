//! Frames that come in: a multishot receive for each port, which all fill the same lent buffers, and the frame
//! the thread looks at. A port of long frames is only polled, and each of its frames received by itself.
//!
//! Both are with the kernel for the sake of a sleep. A thread that rests instead takes the frames itself, in runs: then
//! nobody is told of each, who sends on another processor of the machine least of all.
//!
//! Knows of a frame only its length and whether it is meant for this link.

use std::{collections::VecDeque, io};

use io_uring::{IoUring, Submitter, cqueue, opcode};
use qnet_proto::LinkId;

use super::{
    operation::{self, Operation},
    peeked::{Outcome, Peeked},
    run::Run,
    setup::frames_file,
};
use crate::{
    driver::{
        Arrived, ETHERNET_HEADER_LEN, FrameSocket, Hole, LinkCounters, LinkError,
        rx::{self, RxBuffer, RxRing},
    },
    limits::{PEEK_MTU_MIN, REFUSED_MAX, RX_BUFFERS_MAX},
};

/// The receive buffers, each in one of three places: lent to the kernel, received, or being looked at.
#[derive(Debug)]
pub(super) struct Reception {
    buffers: RxRing,
    /// Received, not yet taken by the thread, with the port.
    received: VecDeque<(u8, RxBuffer)>,
    /// The frame the thread looks at.
    current: Option<RxBuffer>,
    /// The place of a long frame; none without a port of such.
    peeked: Option<Peeked>,
    /// Frames that the thread took itself; made when it first does.
    run: Option<Box<Run>>,
    /// Frames that are looked at come next, where there are both kinds.
    peeks_next: bool,
    /// The port that is looked at first: the one behind the last that had a frame.
    first_peeked: usize,
    /// The port of which a run is taken first: the one behind that of the last.
    first_of_run: usize,
    ports: Vec<Port>,
}

/// The receive of one port.
#[derive(Clone, Copy, Debug, Default)]
struct Port {
    /// Its frames are looked at before they are received.
    peeks: bool,
    /// There may be frames to look at, or to take.
    readable: bool,
    /// The error number of a look that failed.
    failure: Option<i32>,
    /// The kernel has the multishot receive, or poll.
    armed: bool,
    /// The thread takes the frames itself, as soon as the kernel has no receive.
    by_hand: bool,
    /// There is nothing more to receive: the other end of a loopback pair has gone, the interface was
    /// removed, or the link goes.
    closed: bool,
}

impl Port {
    /// Whether there may be a frame that the thread takes itself.
    fn may_give(&self) -> bool {
        self.readable && !self.closed && (self.peeks || self.by_hand && !self.armed)
    }
}

impl Reception {
    /// Makes buffers for the frames of these ports.
    ///
    /// # Errors
    /// Not enough memory.
    pub(super) fn new(sockets: &[FrameSocket]) -> io::Result<Reception> {
        let port = |socket: &FrameSocket| Port {
            peeks: socket.interface.mtu >= PEEK_MTU_MIN,
            ..Port::default()
        };
        let ports: Vec<Port> = sockets.iter().map(port).collect();
        Ok(Reception {
            buffers: RxRing::new(longest(sockets, &ports, false).unwrap_or(ETHERNET_HEADER_LEN))?,
            received: VecDeque::with_capacity(RX_BUFFERS_MAX),
            current: None,
            peeked: longest(sockets, &ports, true).map(Peeked::new),
            peeks_next: false,
            run: None,
            first_peeked: 0,
            first_of_run: 0,
            ports,
        })
    }

    /// Lends every buffer to the kernel.
    ///
    /// # Errors
    /// The kernel is too old for it.
    ///
    /// # Safety
    /// `self` may be dropped only after the io_uring has ended every operation that can pick a buffer of
    /// it, unless [`Reception::leak`] gave them up before.
    pub(super) unsafe fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: the buffers live in `self` until they are leaked or dropped with it, and the caller
        // promises that at a drop no operation can pick one any more.
        unsafe { self.buffers.register(submitter) }
    }

    /// Has a receive for each port with the kernel, unless there is nothing more to receive, or the thread takes the
    /// frames itself and does not sleep.
    ///
    /// # Errors
    /// The ring is broken.
    pub(super) fn arm(&mut self, ring: &mut IoUring, may_sleep: bool) -> Result<(), LinkError> {
        // What the kernel would receive now came later than a run that is not over.
        let stays = !may_sleep || self.run.as_ref().is_some_and(|run| !run.is_over());
        for (at, port) in self.ports.iter_mut().enumerate() {
            if port.armed || port.closed || port.by_hand && stays {
                continue;
            }
            if port.by_hand {
                port.by_hand = false;
                port.readable &= port.peeks;
            }
            let number = at as u8;
            let file = frames_file(number);
            let receive = match port.peeks {
                true => opcode::PollAdd::new(file, libc::POLLIN as u32)
                    .multi(true)
                    .build(),
                false => opcode::RecvMulti::new(file, rx::GROUP).build(),
            };
            // SAFETY: the entry points to no memory; the buffers it picks are those of `register`, whose
            // caller keeps them until it has ended.
            unsafe { operation::push(ring, Operation::Receive(number), receive)? };
            port.armed = true;
        }
        Ok(())
    }

    /// Has no receive with the kernel any more, as soon as that has ended what it has.
    ///
    /// # Errors
    /// The ring is broken.
    pub(super) fn disarm(&mut self, ring: &mut IoUring) -> Result<(), LinkError> {
        for (at, port) in self.ports.iter_mut().enumerate() {
            if port.by_hand || port.closed {
                continue;
            }
            port.by_hand = true;
            if port.armed {
                let receive = Operation::Receive(at as u8).user_data();
                let cancel = opcode::AsyncCancel::new(receive).build();
                // SAFETY: the entry points to no memory.
                unsafe { operation::push(ring, Operation::CancelReceive, cancel)? };
            }
        }
        Ok(())
    }

    /// Time has passed: there may be frames at the ports whose frames the thread takes itself.
    pub(super) fn look_again(&mut self) {
        for port in &mut self.ports {
            port.readable |= port.by_hand;
        }
    }

    /// The receive of a port has completed once: with a frame, a failure or its end.
    ///
    /// # Errors
    /// The interface has gone.
    ///
    /// # Safety
    /// `completion` must come from the ring that the buffers are registered with, be one of
    /// [`Operation::Receive`], and be given once.
    pub(super) unsafe fn completed(
        &mut self,
        number: u8,
        completion: &cqueue::Entry,
        socket: &FrameSocket,
        counters: &mut LinkCounters,
    ) -> Result<(), LinkError> {
        let port = &mut self.ports[usize::from(number)];
        if !cqueue::more(completion.flags()) {
            port.armed = false;
            // One that a rest took back did not fail.
            counters.receive_restarts += u64::from(completion.result() != -libc::ECANCELED);
        }
        if port.peeks {
            port.readable = !port.closed;
            return match completion.result() {
                failure if failure < 0 => socket.interface.still_there_after(-failure),
                _ => Ok(()),
            };
        }
        let len = usize::try_from(completion.result()).unwrap_or(0);
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            // SAFETY: id and length are those of one receive completion of the ring that the buffers are
            // registered with, and the caller gives each completion once.
            let buffer = unsafe { self.buffers.take(id, len) };
            self.received.push_back((number, buffer));
        }
        match completion.result() {
            // Only the end of a loopback pair's other side: a packet is never empty.
            0 if !port.armed => port.closed = true,
            failure if failure < 0 => socket.interface.still_there_after(-failure)?,
            _ => {}
        }
        Ok(())
    }

    /// The next frame that the thread may see; others are counted and dropped. Gives the frame before back. `place`
    /// is asked as by [`Peeked::receive`]. Ports take turns: one that never runs dry does not keep the others waiting.
    pub(super) fn next_frame(
        &mut self,
        sockets: &[FrameSocket],
        counters: &mut [LinkCounters],
        place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> Option<Arrived<'_>> {
        self.give_back_current();
        if (self.peeks_next || self.received.is_empty())
            && let Some(number) = self.look(sockets, counters, place)
        {
            self.peeks_next = false;
            let peeked = self.peeked.as_ref()?;
            return Some(Arrived {
                port: LinkId(number),
                frame: peeked.frame(),
                has_hole: peeked.has_hole(),
            });
        }
        self.peeks_next = true;
        while let Some((number, buffer)) = self.received.pop_front() {
            let at = usize::from(number);
            let admitted = admit(self.buffers.bytes(&buffer), &sockets[at], &mut counters[at]);
            let buffer = self.current.insert(buffer);
            if admitted {
                return Some(Arrived {
                    port: LinkId(number),
                    frame: self.buffers.bytes(buffer),
                    has_hole: false,
                });
            }
            self.give_back_current();
        }
        let number = self.take_by_hand(sockets, counters)?;
        Some(Arrived {
            port: LinkId(number),
            frame: self.run.as_ref()?.frame(),
            has_hole: false,
        })
    }

    /// Goes on to the next frame that the thread takes itself; the number of its port. Ports give runs in turn; what
    /// ends the search is as for [`Reception::look`].
    fn take_by_hand(
        &mut self,
        sockets: &[FrameSocket],
        counters: &mut [LinkCounters],
    ) -> Option<u8> {
        let mut refused = 0;
        while refused < REFUSED_MAX {
            if let Some(run) = &mut self.run
                && let Some(number) = run.advance()
            {
                let at = usize::from(number);
                if run.frame().is_empty() {
                    self.ports[at].closed = true;
                } else if admit(run.frame(), &sockets[at], &mut counters[at]) {
                    return Some(number);
                }
                refused += 1;
                continue;
            }
            self.take_run(sockets)?;
        }
        None
    }

    /// Takes the next run, which may be empty; `None` if no port may have one.
    fn take_run(&mut self, sockets: &[FrameSocket]) -> Option<()> {
        let count = self.ports.len();
        let mut turns = (self.first_of_run..count).chain(0..self.first_of_run);
        let at = turns.find(|at| !self.ports[*at].peeks && self.ports[*at].may_give())?;
        self.first_of_run = (at + 1) % count;
        let frame_len_max = longest(sockets, &self.ports, false)?;
        let run = self
            .run
            .get_or_insert_with(|| Box::new(Run::new(frame_len_max)));
        let port = &mut self.ports[at];
        match run.receive(at as u8, &sockets[at]) {
            Ok(has_more) => port.readable = has_more,
            Err(error) => {
                port.readable = false;
                port.failure = error.raw_os_error();
            }
        }
        Some(())
    }

    /// Receives the next frame of those that are looked at; the number of its port. A flood of frames that nobody may
    /// see ends the search, not the port's turn: the thread has other things to do, and comes back without a sleep.
    fn look(
        &mut self,
        sockets: &[FrameSocket],
        counters: &mut [LinkCounters],
        place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> Option<u8> {
        let peeked = self.peeked.as_mut()?;
        let count = self.ports.len();
        let mut refused = 0;
        for at in (self.first_peeked..count).chain(0..self.first_peeked) {
            let port = &mut self.ports[at];
            let (socket, counters) = (&sockets[at], &mut counters[at]);
            while port.readable {
                match peeked.receive(socket, place) {
                    Ok(Outcome::Frame) => {
                        if admit(peeked.frame(), socket, counters) {
                            self.first_peeked = (at + 1) % count;
                            return Some(at as u8);
                        }
                        refused += 1;
                    }
                    Ok(Outcome::Dropped) => {
                        counters.foreign += 1;
                        refused += 1;
                    }
                    Ok(Outcome::Nothing) => port.readable = false,
                    Ok(Outcome::End) => {
                        port.readable = false;
                        port.closed = true;
                    }
                    Err(error) => {
                        port.readable = false;
                        port.failure = error.raw_os_error();
                    }
                }
                if refused >= REFUSED_MAX {
                    self.first_peeked = (at + 1) % count;
                    return None;
                }
            }
        }
        None
    }

    /// A look that failed since the last call: the port, and the error number.
    pub(super) fn take_failure(&mut self) -> Option<(u8, i32)> {
        let mut ports = (0..).zip(&mut self.ports);
        ports.find_map(|(number, port)| Some((number, port.failure.take()?)))
    }

    /// The thread has done with the frame that [`Reception::next_frame`] gave last.
    pub(super) fn give_back_current(&mut self) {
        if let Some(buffer) = self.current.take() {
            self.buffers.give_back(buffer);
        }
    }

    /// Whether more than one frame waits for the thread, or may: a port that is looked at does not tell.
    pub(super) fn has_many(&self) -> bool {
        self.received.len() > 1 || self.may_have_by_hand()
    }

    /// Whether no frame waits for the thread.
    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty() && !self.may_have_by_hand()
    }

    fn may_have_by_hand(&self) -> bool {
        let run = self.run.as_ref();
        run.is_some_and(|run| !run.is_over()) || self.ports.iter().any(Port::may_give)
    }

    /// Whether the kernel has a receive.
    pub(super) fn is_armed(&self) -> bool {
        self.ports.iter().any(|port| port.armed)
    }

    /// Receives nothing more through any port: no receive is armed again once it has ended.
    pub(super) fn close(&mut self) {
        self.ports.iter_mut().for_each(|port| port.closed = true);
    }

    /// Receives nothing more through a port whose interface was removed; false if it was the last.
    pub(super) fn close_port(&mut self, number: u8) -> bool {
        self.ports[usize::from(number)].closed = true;
        self.ports.iter().any(|port| !port.closed)
    }

    /// Gives the buffers up for good, because the kernel may still write to them.
    pub(super) fn leak(&mut self) {
        self.buffers.leak();
    }
}

/// Bytes of the longest frame of the ports whose frames are looked at before, or of the others; `None` without such.
fn longest(sockets: &[FrameSocket], ports: &[Port], peeks: bool) -> Option<usize> {
    let of_kind = sockets
        .iter()
        .zip(ports)
        .filter(|(_, port)| port.peeks == peeks);
    let mtus = of_kind.map(|(socket, _)| socket.interface.mtu);
    mtus.max().map(|mtu| ETHERNET_HEADER_LEN + mtu)
}

/// Whether the thread may see the frame; counts it, or why not.
fn admit(frame: &[u8], socket: &FrameSocket, counters: &mut LinkCounters) -> bool {
    let len = frame.len();
    if len < ETHERNET_HEADER_LEN || len > ETHERNET_HEADER_LEN + socket.interface.mtu {
        counters.bad_length += 1;
        return false;
    }
    if !socket.is_ours(frame) {
        counters.foreign += 1;
        return false;
    }
    counters.frames_received += 1;
    counters.bytes_received += len as u64;
    true
}
