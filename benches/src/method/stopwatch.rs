//! Raw times of one block, written by the measuring process and read by the bench.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::sys::clock::Clock;
use crate::sys::map::SharedMap;

/// Times one block holds at most.
pub const TIMES_MAX: usize = 1 << 17;

const COUNT_AT: usize = 0;
const LEN_AT: usize = 8;
const ELAPSED_AT: usize = 16;
const TIMES_AT: usize = 64;

/// One process's record of one block: a time per lap, the whole, and a count of events.
#[derive(Debug)]
pub struct Stopwatch {
    map: Rc<SharedMap>,
    clock: Clock,
    last: u64,
    len: usize,
}

impl Stopwatch {
    /// A record in memory that children forked later share.
    pub fn new(clock: Clock) -> crate::Result<Stopwatch> {
        Ok(Stopwatch {
            map: Rc::new(SharedMap::new(TIMES_AT + 4 * TIMES_MAX)?),
            clock,
            last: 0,
            len: 0,
        })
    }

    /// The record that another program of this run made and handed over as a descriptor.
    ///
    /// # Errors
    /// What mapping it answers, or a file that is no record.
    pub fn adopt(file: OwnedFd, clock: Clock) -> crate::Result<Stopwatch> {
        let map = SharedMap::adopt(file)?;
        if map.len() < TIMES_AT + 4 * TIMES_MAX {
            return Err("the descriptor handed over is no record of a block".into());
        }
        Ok(Stopwatch {
            map: Rc::new(map),
            clock,
            last: 0,
            len: 0,
        })
    }

    /// The record's file, for a program that is to write it.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.map.file()
    }

    /// The clock of its times, for threads that keep times of their own.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The same memory, for the process on the other side of a fork.
    pub fn share(&self) -> Stopwatch {
        Stopwatch {
            map: Rc::clone(&self.map),
            ..*self
        }
    }

    /// Starts a block: nothing recorded, nothing counted.
    pub fn start(&mut self) {
        self.len = 0;
        self.map.word64(COUNT_AT).store(0, Ordering::Relaxed);
        self.last = self.clock.now();
        self.map
            .word64(ELAPSED_AT)
            .store(self.last, Ordering::Relaxed);
    }

    /// Records the time since the previous lap: one reading of the clock.
    #[inline(always)]
    pub fn lap(&mut self) {
        let now = self.clock.now();
        self.record(now - self.last);
        self.last = now;
    }

    /// Records a time measured by the side itself, in ticks of `now`.
    #[inline(always)]
    pub fn record(&mut self, ticks: u64) {
        if self.len < TIMES_MAX {
            let at = TIMES_AT + 4 * self.len;
            self.map
                .word32(at)
                .store(u32::try_from(ticks).unwrap_or(u32::MAX), Ordering::Relaxed);
            self.len += 1;
        }
    }

    /// Records a time in nanoseconds.
    pub fn record_ns(&mut self, ns: f64) {
        self.record(self.clock.ticks(ns));
    }

    /// The present in ticks, for sides with several messages in flight.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Adds to the block's count: wake-ups, frames, system calls, as the goal wants it.
    pub fn count(&mut self, events: u64) {
        self.map
            .word64(COUNT_AT)
            .fetch_add(events, Ordering::Relaxed);
    }

    /// Ends the block. The control socket orders these stores before the bench's loads.
    pub fn stop(&mut self) {
        let begin = self.map.word64(ELAPSED_AT).load(Ordering::Relaxed);
        self.map
            .word64(ELAPSED_AT)
            .store(self.clock.now() - begin, Ordering::Relaxed);
        self.map
            .word64(LEN_AT)
            .store(self.len as u64, Ordering::Relaxed);
    }

    /// The recorded times in nanoseconds.
    pub fn times_ns(&self) -> impl Iterator<Item = f64> + '_ {
        let len = (self.map.word64(LEN_AT).load(Ordering::Relaxed) as usize).min(TIMES_MAX);
        (0..len).map(|at| {
            let ticks = self.map.word32(TIMES_AT + 4 * at).load(Ordering::Relaxed);
            self.clock.ns(u64::from(ticks))
        })
    }

    /// How long the block took, in nanoseconds.
    pub fn elapsed_ns(&self) -> f64 {
        self.clock
            .ns(self.map.word64(ELAPSED_AT).load(Ordering::Relaxed))
    }

    /// What was counted.
    pub fn counted(&self) -> u64 {
        self.map.word64(COUNT_AT).load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_through_the_shared_copy() {
        let reader = Stopwatch::new(Clock::calibrate()).expect("memory");
        let mut writer = reader.share();
        writer.start();
        writer.lap();
        writer.lap();
        writer.count(3);
        writer.stop();
        assert_eq!(reader.times_ns().count(), 2);
        assert_eq!(reader.counted(), 3);
        assert!(reader.elapsed_ns() >= reader.times_ns().sum::<f64>());
    }

    #[test]
    fn starting_again_forgets_the_block_before() {
        let mut watch = Stopwatch::new(Clock::calibrate()).expect("memory");
        watch.start();
        watch.record(u64::MAX);
        watch.count(1);
        watch.start();
        watch.stop();
        assert_eq!((watch.times_ns().count(), watch.counted()), (0, 0));
    }
}
