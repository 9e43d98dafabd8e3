//! Long copies, which let others of their CPU run on the way.
//!
//! Copying 16 MiB takes milliseconds. Who shares the CPU and has something short to do, as a network daemon with a small
//! message for somebody else, would wait for the end of it: the scheduler takes the CPU from a running thread at once
//! only for one that used less than its share, and from others not before the next tick of the clock.
//!
//! For each moment that it gave away a thread copies [`COPY_TO_GIVEN`] as long before it does so again: what computes
//! beside it, and takes all it is given, does not get much more than its share. With nobody else on the CPU giving way is
//! a system call that returns at once; it becomes rare then, for the whole process, whose messages may be too short to
//! find out one by one.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    abi::limits::{COPY_ALONE_LEN, COPY_FOUND_TICKS, COPY_PART_LEN, COPY_TO_GIVEN},
    sys::{clock, thread},
};

/// Bytes that this process copies between two ways given: few while somebody waits for them.
static STEP_LEN: AtomicUsize = AtomicUsize::new(COPY_ALONE_LEN);
/// Bytes that it copied since the last. Threads that copy at the same time may count a part too few.
static COPIED_LEN: AtomicUsize = AtomicUsize::new(0);

/// Calls `copy` for all of `0..len` in order, in parts, between which the thread may give way. The caller holds no lock,
/// or copies no more than [`COPY_PART_LEN`] bytes.
#[inline]
pub(super) fn in_parts(len: usize, mut copy: impl FnMut(Range<usize>)) {
    match len {
        0..=COPY_PART_LEN => copy(0..len),
        _ => giving_way(len, copy),
    }
}

#[inline(never)]
fn giving_way(len: usize, mut copy: impl FnMut(Range<usize>)) {
    let mut start = 0;
    // How long to copy before giving way again.
    let mut owed_ticks = 0_u64;
    let mut begin = clock::ticks();
    while len - start > COPY_PART_LEN {
        copy(start..start + COPY_PART_LEN);
        start += COPY_PART_LEN;
        let end = clock::ticks();
        owed_ticks = owed_ticks.saturating_sub(end.saturating_sub(begin));
        begin = end;
        if is_way_due() && owed_ticks == 0 {
            thread::give_way();
            begin = clock::ticks();
            let given_ticks = begin.saturating_sub(end);
            owed_ticks = given_ticks.saturating_mul(COPY_TO_GIVEN);
            learn(given_ticks);
        }
    }
    copy(start..len);
}

/// Whether the process has copied enough to give way, with one part more.
fn is_way_due() -> bool {
    let copied_len = COPIED_LEN
        .load(Ordering::Relaxed)
        .saturating_add(COPY_PART_LEN);
    COPIED_LEN.store(copied_len, Ordering::Relaxed);
    copied_len >= STEP_LEN.load(Ordering::Relaxed)
}

/// Somebody was let run for so long, if anybody was there.
fn learn(given_ticks: u64) {
    let step_len = match given_ticks >= COPY_FOUND_TICKS {
        true => COPY_PART_LEN,
        false => (2 * STEP_LEN.load(Ordering::Relaxed)).min(COPY_ALONE_LEN),
    };
    STEP_LEN.store(step_len, Ordering::Relaxed);
    COPIED_LEN.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_copied_once_and_in_order() {
        for len in [
            0,
            1,
            COPY_PART_LEN,
            COPY_PART_LEN + 1,
            5 * COPY_PART_LEN - 1,
        ] {
            let mut copied = 0;
            in_parts(len, |part| {
                assert_eq!(part.start, copied);
                assert!(part.len() <= COPY_PART_LEN);
                copied = part.end;
            });
            assert_eq!(copied, len);
        }
    }
}
