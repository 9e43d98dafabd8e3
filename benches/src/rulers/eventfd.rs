//! B2, eventfds: one each way to wake, the payload in shared memory.

use std::rc::Rc;

use nix::sys::eventfd::EventFd;

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::setting::Setting;
use crate::sys::map::{LINE_LEN, SharedMap};

const PING: usize = 0;
const PONG: usize = 2;

/// Builds the ruler.
///
/// # Errors
/// No descriptors or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let theirs = Rc::new(SharedMap::new(4 * LINE_LEN)?);
    let ours = Rc::clone(&theirs);
    let events = Rc::new((EventFd::new()?, EventFd::new()?));
    let their_events = Rc::clone(&events);
    setting
        .arm("B2 eventfd")
        .seat(setting.server(), |_| {
            Ok(silent(move |number| {
                take(&theirs, PING, &their_events.0, number)?;
                put(&theirs, PONG, &their_events.1, number)
            }))
        })?
        .seat(setting.client(), |_| {
            Ok(timed(move |number| {
                put(&ours, PING, &events.0, number)?;
                take(&ours, PONG, &events.1, number)
            }))
        })
}

fn put(map: &SharedMap, line: usize, event: &EventFd, number: u64) -> crate::Result<()> {
    map.copy_in(line * LINE_LEN, &payload::small(number));
    // The system call orders the copy before the wake-up.
    event.write(1)?;
    Ok(())
}

fn take(map: &SharedMap, line: usize, event: &EventFd, number: u64) -> crate::Result<()> {
    event.read()?;
    let mut bytes = [0; payload::SMALL_LEN];
    map.copy_out(line * LINE_LEN, &mut bytes);
    payload::check_small(&bytes, number)
}
