//! B1s, B1x: ping-pong by a shared futex each way, on one CPU or across two; no spinning.
//!
//! The payload lies in the same line as the futex word. Each end wakes unconditionally: in a ping-pong
//! without spinning the other end always sleeps, so that a flag would only add a load.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::setting::{Placement, Setting};
use crate::sys::futex;
use crate::sys::map::{LINE_LEN, SharedMap};

const PING: usize = 0;
const PONG: usize = 2;

/// Builds the ruler.
///
/// # Errors
/// No memory or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let name = match setting.placement {
        Placement::Same => "B1s futex",
        Placement::Across => "B1x futex",
    };
    let theirs = Rc::new(SharedMap::new(8 * LINE_LEN)?);
    let ours = Rc::clone(&theirs);
    setting
        .arm(name)
        .seat(setting.server(), |_| {
            Ok(silent(move |number| {
                take(&theirs, PING, number)?;
                put(&theirs, PONG, number)
            }))
        })?
        .seat(setting.client(), |_| {
            Ok(timed(move |number| {
                put(&ours, PING, number)?;
                take(&ours, PONG, number)
            }))
        })
}

/// Writes the payload of `number` to the line after `line`, then the futex word, and wakes the other end.
pub(super) fn put(map: &SharedMap, line: usize, number: u64) -> crate::Result<()> {
    map.copy_in((line + 1) * LINE_LEN, &payload::small(number));
    let word = map.word32(line * LINE_LEN);
    // SYNC(futex): the payload before the word; the kernel's futex bucket lock orders word and wake.
    word.store(number as u32, Ordering::Release);
    Ok(futex::wake(word)?)
}

/// Sleeps until the futex word says `number`, then checks the payload.
pub(super) fn take(map: &SharedMap, line: usize, number: u64) -> crate::Result<()> {
    let word = map.word32(line * LINE_LEN);
    loop {
        // SYNC(futex): the word before the payload.
        let seen = word.load(Ordering::Acquire);
        if seen == number as u32 {
            break;
        }
        futex::wait(word, seen);
    }
    let mut bytes = [0; payload::SMALL_LEN];
    map.copy_out((line + 1) * LINE_LEN, &mut bytes);
    payload::check_small(&bytes, number)
}
