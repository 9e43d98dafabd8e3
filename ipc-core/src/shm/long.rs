//! Long copies, which let others of their CPU run on the way.
//!
//! Copying 16 MiB takes milliseconds. Who shares the CPU and has something short to do, as a network daemon with a small
//! message for somebody else, would wait for the end of it: the scheduler takes the CPU from a running thread at once
//! only for one that used less than its share, and from others not before the next tick of the clock.
//!
//! For each moment that it gave away a thread copies [`COPY_TO_GIVEN`] as long before it does so again: what computes
//! beside it, and takes all it is given, does not get much more than its share. With nobody else on the CPU giving way is
//! a system call that returns at once.

use std::ops::Range;

use crate::{
    abi::limits::{COPY_STEP_LEN, COPY_TO_GIVEN},
    sys::{clock, thread},
};

/// Calls `copy` for all of `0..len` in order, in parts, between which the thread may give way. The caller holds no lock,
/// or copies no more than [`COPY_STEP_LEN`] bytes.
#[inline]
pub(super) fn in_steps(len: usize, mut copy: impl FnMut(Range<usize>)) {
    match len {
        0..=COPY_STEP_LEN => copy(0..len),
        _ => giving_way(len, copy),
    }
}

#[inline(never)]
fn giving_way(len: usize, mut copy: impl FnMut(Range<usize>)) {
    let mut start = 0;
    // How long to copy before giving way again.
    let mut owed_ticks = 0_u64;
    let mut begin = clock::ticks();
    while len - start > COPY_STEP_LEN {
        copy(start..start + COPY_STEP_LEN);
        start += COPY_STEP_LEN;
        let end = clock::ticks();
        owed_ticks = owed_ticks.saturating_sub(end.saturating_sub(begin));
        begin = end;
        if owed_ticks == 0 {
            thread::give_way();
            begin = clock::ticks();
            owed_ticks = begin.saturating_sub(end).saturating_mul(COPY_TO_GIVEN);
        }
    }
    copy(start..len);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_copied_once_and_in_order() {
        for len in [
            0,
            1,
            COPY_STEP_LEN,
            COPY_STEP_LEN + 1,
            5 * COPY_STEP_LEN - 1,
        ] {
            let mut copied = 0;
            in_steps(len, |part| {
                assert_eq!(part.start, copied);
                assert!(part.len() <= COPY_STEP_LEN);
                copied = part.end;
            });
            assert_eq!(copied, len);
        }
    }
}
