//! One process of an arm: built once, then run for a number of rounds in each block.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::method::Stopwatch;

/// What a side tells those built after it: ids, ports, addresses.
pub type Notice = [u64; 4];

/// One process's part in a job.
pub trait Side {
    /// Does its part of `rounds` rounds and checks every payload; a measuring side laps once a round.
    ///
    /// # Errors
    /// A failed system call or a payload that is not what was sent: the bench ends, no figure is made of it.
    fn run(&mut self, rounds: u32, watch: &mut Stopwatch) -> crate::Result<()>;
}

/// What a side sees while it is being built.
#[derive(Debug)]
pub struct Stage {
    /// The notices of the sides built before, in order.
    pub heard: Vec<Notice>,
    /// This side's own, for those built later.
    pub notice: Notice,
}

/// The largest text of an error that crosses the control socket.
const TEXT_LEN_MAX: usize = 4096;

/// The child's life: build, report, run blocks until the bench hangs up.
pub(super) fn live(
    mut control: UnixStream,
    mut watch: Stopwatch,
    heard: Vec<Notice>,
    build: impl FnOnce(&mut Stage) -> crate::Result<Box<dyn Side>>,
) -> crate::Result<()> {
    let mut stage = Stage {
        heard,
        notice: Notice::default(),
    };
    let mut side = match build(&mut stage) {
        Ok(side) => side,
        Err(fault) => return report(&mut control, Err(fault), stage.notice),
    };
    report(&mut control, Ok(()), stage.notice)?;
    let mut rounds = [0; 4];
    while control.read_exact(&mut rounds).is_ok() {
        watch.start();
        let outcome = side.run(u32::from_ne_bytes(rounds), &mut watch);
        watch.stop();
        report(&mut control, outcome, Notice::default())?;
    }
    Ok(())
}

pub(super) fn report(
    control: &mut UnixStream,
    outcome: crate::Result<()>,
    notice: Notice,
) -> crate::Result<()> {
    let text = outcome
        .err()
        .map(|fault| fault.to_string())
        .unwrap_or_default();
    let text = &text.as_bytes()[..text.len().min(TEXT_LEN_MAX)];
    let mut bytes = Vec::new();
    for word in notice {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(&(text.len() as u64).to_ne_bytes());
    bytes.extend_from_slice(text);
    Ok(control.write_all(&bytes)?)
}

/// The bench's end of `report`.
pub(super) fn hear(control: &mut UnixStream) -> crate::Result<Notice> {
    let mut words = [0; 5];
    for word in &mut words {
        let mut bytes = [0; 8];
        control.read_exact(&mut bytes)?;
        *word = u64::from_ne_bytes(bytes);
    }
    let [a, b, c, d, text_len] = words;
    let mut text = vec![0; (text_len as usize).min(TEXT_LEN_MAX)];
    control.read_exact(&mut text)?;
    if text.is_empty() {
        Ok([a, b, c, d])
    } else {
        Err(String::from_utf8_lossy(&text).into())
    }
}
