//! One run of the client: what it said, what was traced, what crossed the wire.

use std::io;
use std::process::Output;

use crate::netlab::capture::Frame;

use super::event::Event;
use super::stage::{CLIENT, Stage};
use super::walk::Walk;
use super::wire::{self, Frames};

/// Frames that a small write costs once the way is known: the message, and its answer.
const FRAMES_OF_A_WRITE: usize = 2;
/// Runs of the client after the first. One is enough on a quiet machine; where an answer is late, for
/// want of a processor, an acknowledgement goes ahead of it and is a frame more.
const REPEATS_MAX: usize = 10;

/// A run of the client.
pub(super) struct Take {
    pub(super) walk: Walk,
    pub(super) frames: Vec<Frame>,
    output: Output,
}

impl Take {
    /// Runs the client on the stage; `name` names its trace.
    pub(super) fn shoot(stage: &Stage, name: &str) -> io::Result<Take> {
        let recording = stage.lab.capture()?;
        let output = stage.run_client(name)?;
        let frames = recording.finish()?;
        let walk = Walk::read_whole(&stage.lab, name)?;
        Ok(Take {
            walk,
            frames,
            output,
        })
    }

    /// Runs the client again; and again, if no write so far cost as little as a write can.
    pub(super) fn again(stage: &Stage, first: &Take) -> io::Result<Take> {
        let mut take = Take::shoot(stage, "again-1")?;
        for count in 2..=REPEATS_MAX {
            if first.write_is_cheap() || take.write_is_cheap() || !take.output.status.success() {
                break;
            }
            take = Take::shoot(stage, &format!("again-{count}"))?;
        }
        Ok(take)
    }

    /// What the client printed.
    pub(super) fn said(&self) -> String {
        let (out, err) = (&self.output.stdout, &self.output.stderr);
        format!(
            "{}{}",
            String::from_utf8_lossy(out),
            String::from_utf8_lossy(err)
        )
    }

    /// The messages, each with its frames; and the frames that crossed between them.
    pub(super) fn by_message(&self) -> (Vec<(&Event, Frames)>, Frames) {
        let events: Vec<&Event> = self.walk.events.iter().collect();
        let (counts, between) = wire::by_event(&events, &self.frames, CLIENT);
        (events.into_iter().zip(counts).collect(), between)
    }

    /// Frames that the message at a step cost that opens the path.
    pub(super) fn frames_of(&self, step: &str) -> usize {
        let (counts, _) = self.by_message();
        let of_step = counts
            .iter()
            .filter(|(event, _)| event.step == step && event.is_connect());
        of_step.map(|(_, frames)| frames.count()).sum()
    }

    /// What was not as it had to be; `resolved` says whether wintermute was known already.
    pub(super) fn faults(&self, resolved: bool) -> Vec<String> {
        let mut faults = self.walk.faults(resolved);
        if !self.output.status.success() {
            faults.push(format!(
                "the client failed ({}): {}",
                self.output.status,
                self.said().trim()
            ));
        }
        faults
    }

    fn write_is_cheap(&self) -> bool {
        self.frames_of_write() == Some(FRAMES_OF_A_WRITE)
    }

    fn frames_of_write(&self) -> Option<usize> {
        let (counts, _) = self.by_message();
        counts
            .iter()
            .find(|(event, _)| event.is_write())
            .map(|(_, frames)| frames.count())
    }
}

/// Writes that all took other frames than the message and its answer.
pub(super) fn frames_fault(takes: [&Take; 2]) -> Option<String> {
    if takes.iter().any(|take| take.write_is_cheap()) {
        return None;
    }
    let counts = takes.map(|take| take.frames_of_write().unwrap_or(0));
    Some(format!(
        "the writes cost {counts:?} frames; a message and its answer are {FRAMES_OF_A_WRITE}"
    ))
}
