//! B0: two processes, one cache line each way, the round's number in the line, spin.
//!
//! The line is the message: seven words of payload, then the number that hands it over. No PAUSE between
//! polls: on one thread per core it only delays the load that matters, and a hypervisor may trap it.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::setting::Setting;
use crate::sys::map::{LINE_LEN, SharedMap};

/// Two lines apart: the adjacent-line prefetcher of Intel pulls lines in pairs.
const PING: usize = 0;
const PONG: usize = 2;

/// Builds the ruler.
///
/// # Errors
/// No memory or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let theirs = Rc::new(SharedMap::new(4 * LINE_LEN)?);
    let ours = Rc::clone(&theirs);
    setting
        .arm("B0 cache line")
        .seat(setting.server(), |_| {
            Ok(silent(move |number| {
                take(theirs.line(PING), number)?;
                put(theirs.line(PONG), number);
                Ok(())
            }))
        })?
        .seat(setting.client(), |_| {
            Ok(timed(move |number| {
                put(ours.line(PING), number);
                take(ours.line(PONG), number)
            }))
        })
}

#[inline(always)]
fn put(line: &[AtomicU64; 8], number: u64) {
    for (at, word) in line.iter().enumerate().skip(1) {
        word.store(payload::word(number, at), Ordering::Relaxed);
    }
    // SYNC(line): the payload before the number that hands it over.
    line[0].store(number, Ordering::Release);
}

#[inline(always)]
fn take(line: &[AtomicU64; 8], number: u64) -> crate::Result<()> {
    // SYNC(line): the number before the payload.
    while line[0].load(Ordering::Acquire) != number {}
    let intact = line
        .iter()
        .enumerate()
        .skip(1)
        .all(|(at, word)| word.load(Ordering::Relaxed) == payload::word(number, at));
    if intact {
        Ok(())
    } else {
        Err(payload::wrong(number))
    }
}
