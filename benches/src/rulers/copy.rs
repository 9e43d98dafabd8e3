//! B3: copy from a private buffer into a memfd, hand over, copy out into a private buffer, all bytes read.
//!
//! One message at a time, as a synchronous send is: the consumer starts when the producer has copied all,
//! and the producer waits until the consumer has read all. Hand-over by cache line, spinning.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::setting::Setting;
use crate::sys::map::{LINE_LEN, SharedMap};

const PING: usize = 0;
const PONG: usize = 2;
const DATA_AT: usize = 4096;

/// Builds the ruler for messages of `setting.bytes`.
///
/// # Errors
/// No memory or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let len = setting.bytes;
    let theirs = Rc::new(SharedMap::new(DATA_AT + len)?);
    let ours = Rc::clone(&theirs);
    setting
        .arm("B3 copy")
        .seat(setting.server(), |_| {
            let mut private = vec![0; len];
            Ok(silent(move |number| {
                let expected = take(theirs.line(PING), number);
                theirs.copy_out(DATA_AT, &mut private);
                let seen = payload::sum(&private);
                put(theirs.line(PONG), number, seen);
                if seen == expected {
                    Ok(())
                } else {
                    Err(payload::wrong(number))
                }
            }))
        })?
        .seat(setting.client(), |_| {
            let mut private = vec![0; len];
            Ok(timed(move |number| {
                let sum = payload::stamp(&mut private, number);
                ours.copy_in(DATA_AT, &private);
                put(ours.line(PING), number, sum);
                let seen = take(ours.line(PONG), number);
                if seen == sum {
                    Ok(())
                } else {
                    Err(payload::wrong(number))
                }
            }))
        })
}

fn put(line: &[AtomicU64; 8], number: u64, sum: u64) {
    line[1].store(sum, Ordering::Relaxed);
    // SYNC(copy): the bytes and their sum before the number that hands them over.
    line[0].store(number, Ordering::Release);
}

fn take(line: &[AtomicU64; 8], number: u64) -> u64 {
    // SYNC(copy): the number before the bytes and their sum.
    while line[0].load(Ordering::Acquire) != number {}
    line[1].load(Ordering::Relaxed)
}

const _: () = assert!(DATA_AT >= (PONG + 1) * LINE_LEN);
