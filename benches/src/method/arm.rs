//! A ruler or the product as a set of pinned processes, run block by block.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::time::clock_getcpuclockid;

use crate::method::block::Block;
use crate::method::guest::Program;
use crate::method::side::{self, Notice, Side, Stage};
use crate::method::stopwatch::Stopwatch;
use crate::method::{cpus, guest, stopwatch};
use crate::sys::clock::Clock;
use crate::sys::fork::Child;
use crate::sys::interrupt;

/// A block that takes longer than this is stuck: an error, not a figure.
const BLOCK_TIME_MAX: Duration = Duration::from_secs(30);

/// Where one process of an arm runs.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// What the process does, for errors.
    pub name: &'static str,
    /// The CPU it is pinned to.
    pub cpu: usize,
}

/// One way of doing a job. Dropping it ends its processes.
#[derive(Debug)]
pub struct Arm {
    name: &'static str,
    clock: Clock,
    seats: Vec<Occupied>,
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Occupied {
    seat: Seat,
    control: UnixStream,
    watch: Stopwatch,
    child: Child,
}

impl Arm {
    /// An arm without processes; `name` is what the table shows.
    pub fn new(name: &'static str, clock: Clock) -> Arm {
        Arm {
            name,
            clock,
            seats: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// What the table shows.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Forks a process onto `seat` and waits until it is built. Sides that wait for others come first.
    ///
    /// # Errors
    /// What `build` says, in the child, or a failed system call.
    pub fn seat(
        self,
        seat: Seat,
        build: impl FnOnce(&mut Stage) -> crate::Result<Box<dyn Side>>,
    ) -> crate::Result<Arm> {
        let name = seat.name;
        self.occupy(seat, |socket, watch, heard| {
            let pinned = |stage: &mut Stage| cpus::pin(seat.cpu).and_then(|()| build(stage));
            if let Err(fault) = side::live(socket, watch, heard, pinned) {
                eprintln!("benches: {name}: {fault}");
            }
        })
    }

    /// The same for a side that lives in another program, which calls [`guest::live`]; `prepare` runs in the
    /// new process before the program is loaded.
    ///
    /// # Errors
    /// As [`Arm::seat`], and a program that cannot be loaded.
    pub fn seat_program(
        self,
        seat: Seat,
        program: &Program,
        prepare: impl FnOnce() -> crate::Result<()>,
    ) -> crate::Result<Arm> {
        self.occupy(seat, |mut socket, watch, heard| {
            let ready = cpus::pin(seat.cpu).and_then(|()| prepare());
            // Loading succeeds without coming back.
            let fault = ready.and_then(|()| guest::load(program, &socket, &watch, &heard));
            let _ = side::report(
                &mut socket,
                fault.map(|never| match never {}),
                Notice::default(),
            );
        })
    }

    fn occupy(
        mut self,
        seat: Seat,
        live: impl FnOnce(UnixStream, Stopwatch, Vec<Notice>),
    ) -> crate::Result<Arm> {
        let watch = Stopwatch::new(self.clock)?;
        let (theirs, heard) = (watch.share(), self.notices.clone());
        let (child, mut control) = Child::spawn(|socket| live(socket, theirs, heard))?;
        control.set_read_timeout(Some(BLOCK_TIME_MAX))?;
        let notice = side::hear(&mut control).map_err(|fault| self.blame(seat, &*fault))?;
        self.notices.push(notice);
        self.seats.push(Occupied {
            seat,
            control,
            watch,
            child,
        });
        Ok(self)
    }

    /// The process ids, in the order of the seats.
    pub fn pids(&self) -> Vec<i32> {
        self.seats
            .iter()
            .map(|occupied| occupied.child.pid().as_raw())
            .collect()
    }

    /// Runs one block of `rounds` rounds.
    ///
    /// # Errors
    /// What a side answers, a stuck block, or Ctrl-C.
    pub fn run(&mut self, rounds: u32) -> crate::Result<Block> {
        if interrupt::asked() {
            return Err("interrupted".into());
        }
        let rounds = rounds.clamp(1, stopwatch::TIMES_MAX as u32);
        let cpu_before = self.cpu_ns()?;
        for occupied in &mut self.seats {
            occupied.control.write_all(&rounds.to_ne_bytes())?;
        }
        for at in 0..self.seats.len() {
            let Occupied { seat, control, .. } = &mut self.seats[at];
            let seat = *seat;
            side::hear(control).map_err(|fault| self.blame(seat, &*fault))?;
        }
        let watches = self.seats.iter().map(|occupied| &occupied.watch);
        let cpu_ns = self.cpu_ns()? - cpu_before;
        Ok(Block::collect(rounds, watches, cpu_ns))
    }

    /// CPU time that the processes of this arm have taken so far, all their threads together.
    fn cpu_ns(&self) -> crate::Result<u64> {
        let of = |occupied: &Occupied| clock_getcpuclockid(occupied.child.pid())?.now();
        let times = self
            .seats
            .iter()
            .map(|occupied| of(occupied).map(Duration::from));
        let sum: nix::Result<Duration> = times.sum();
        Ok(sum?.as_nanos() as u64)
    }

    fn blame(&self, seat: Seat, fault: &dyn std::error::Error) -> crate::Error {
        format!("{}, {} on CPU {}: {fault}", self.name, seat.name, seat.cpu).into()
    }
}
