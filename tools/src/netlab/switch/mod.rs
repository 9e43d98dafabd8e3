//! The seeded switch: takes the place of the kernel's bridge while frames are to be lost, doubled,
//! overtaken, delayed, or silently cut off. One thread, a packet socket for each port.
//!
//! It knows ports and frames; which node is at a port is the supervisor's business.

mod faults;
mod link;
mod port;

use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::net::{FRAME_LEN_MAX, VIRTIO_HEADER_LEN};
use super::protocol::{Faults, SwitchCounters};

use link::{Delayed, Link};
pub(super) use port::{Gate, Port};

/// Frames taken from one port before the others have their turn.
const BURST: usize = 64;
const BROADCAST_BIT: u8 = 1;

/// A running switch; dropped, it stops.
pub(super) struct Switch {
    stop: Arc<EventFd>,
    counters: Arc<Mutex<SwitchCounters>>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Starts to move frames between `ports`.
    ///
    /// # Errors
    /// A limit on descriptors or threads.
    pub(super) fn start(ports: Vec<Port>, faults: Faults) -> io::Result<Switch> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let counters = Arc::new(Mutex::new(SwitchCounters::default()));
        let fabric = Fabric::new(ports, faults, Arc::clone(&counters));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("switch".into())
            .spawn(move || fabric.run(&stopped))?;
        Ok(Switch {
            stop,
            counters,
            thread: Some(thread),
        })
    }

    /// What was done to frames so far.
    pub(super) fn counters(&self) -> SwitchCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if self.stop.write(1).is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the seeded switch had panicked; frames were lost by it");
        }
    }
}

/// What the thread owns.
struct Fabric {
    ports: Vec<Port>,
    faults: Faults,
    counters: Arc<Mutex<SwitchCounters>>,
    counted: SwitchCounters,
    /// Port behind which an address was last seen.
    learned: HashMap<[u8; 6], usize>,
    /// From (row) each port to each other.
    links: Vec<Link>,
    delayed: BinaryHeap<Delayed>,
    delayed_count: u64,
}

impl Fabric {
    fn new(ports: Vec<Port>, faults: Faults, counters: Arc<Mutex<SwitchCounters>>) -> Fabric {
        let links = (0..ports.len() * ports.len())
            .map(|_| Link::default())
            .collect();
        Fabric {
            ports,
            faults,
            counters,
            counted: SwitchCounters::default(),
            learned: HashMap::new(),
            links,
            delayed: BinaryHeap::new(),
            delayed_count: 0,
        }
    }

    fn run(mut self, stop: &EventFd) {
        let mut buffer = vec![0; VIRTIO_HEADER_LEN + FRAME_LEN_MAX];
        while self.wait(stop) {
            for from in 0..self.ports.len() {
                for _ in 0..BURST {
                    // A port that is down has nothing to give; it says so when it is up again.
                    let Ok(Some(len)) = self.ports[from].socket.try_receive(&mut buffer) else {
                        break;
                    };
                    if len > VIRTIO_HEADER_LEN + 14 {
                        self.take(from, &buffer[..len]);
                    }
                }
            }
            self.release(Instant::now());
            *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = self.counted;
        }
    }

    /// Sleeps until a frame arrives or one is due; false: the switch is to stop.
    fn wait(&self, stop: &EventFd) -> bool {
        let mut ready: Vec<PollFd<'_>> = self
            .ports
            .iter()
            .map(|port| PollFd::new(port.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        ready.push(PollFd::new(stop.as_fd(), PollFlags::POLLIN));
        let due = self
            .links
            .iter()
            .filter_map(Link::due)
            .chain(self.delayed.peek().map(|next| next.due));
        let timeout = match due.min() {
            None => PollTimeout::NONE,
            Some(due) => {
                let left = due.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left.as_millis() as i32 + i32::from(!left.is_zero()))
                    .unwrap_or(PollTimeout::ZERO)
            }
        };
        match poll(&mut ready, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => {
                tracing::error!(%errno, "the seeded switch cannot wait for frames and ends");
                return false;
            }
        }
        let stopped = ready
            .last()
            .and_then(PollFd::revents)
            .is_some_and(|events| !events.is_empty());
        !stopped
    }

    /// A frame has come in: learn from it, and pass it on.
    fn take(&mut self, from: usize, bytes: &[u8]) {
        self.counted.received += 1;
        if !self.ports[from].gate.lets_in() {
            self.counted.cut += 1;
            return;
        }
        let address = |at: usize| -> [u8; 6] {
            std::array::from_fn(|index| bytes[VIRTIO_HEADER_LEN + at + index])
        };
        let (destination, source) = (address(0), address(6));
        self.learned.insert(source, from);
        if destination[0] & BROADCAST_BIT == 0
            && let Some(&to) = self.learned.get(&destination)
        {
            if to != from {
                self.pass(from, to, bytes);
            }
            return;
        }
        for to in (0..self.ports.len()).filter(|&to| to != from) {
            self.pass(from, to, bytes);
        }
    }

    /// Decides a frame's fate on one link.
    fn pass(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let link = &mut self.links[from * self.ports.len() + to];
        let fate = faults::fate(&self.faults, from, to, link.count());
        if fate.lost {
            self.counted.lost += 1;
        }
        if fate.duplicated {
            self.counted.duplicated += 1;
        }
        if fate.overtaken_by > 0 {
            self.counted.reordered += 1;
        }
        for frame in link.pass(bytes, fate, to) {
            self.emit(frame.to, frame.bytes);
        }
    }

    /// Sends what has waited long enough.
    fn release(&mut self, now: Instant) {
        for index in 0..self.links.len() {
            for frame in self.links[index].release_due(now) {
                self.emit(frame.to, frame.bytes);
            }
        }
        while self.delayed.peek().is_some_and(|next| next.due <= now) {
            if let Some(next) = self.delayed.pop() {
                self.send(next.frame.to, &next.frame.bytes);
            }
        }
    }

    fn emit(&mut self, to: usize, bytes: Vec<u8>) {
        if self.faults.delay_us == 0 {
            self.send(to, &bytes);
            return;
        }
        let due = Instant::now() + std::time::Duration::from_micros(self.faults.delay_us);
        self.delayed_count += 1;
        self.delayed.push(Delayed {
            due,
            order: self.delayed_count,
            frame: link::Frame { to, bytes },
        });
    }

    fn send(&mut self, to: usize, bytes: &[u8]) {
        let port = &self.ports[to];
        if !port.gate.lets_out() {
            self.counted.cut += 1;
            return;
        }
        match port.send(bytes) {
            Ok(()) => self.counted.sent += 1,
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => self.counted.cut += 1,
            Err(_) => self.counted.overrun += 1,
        }
    }
}
