//! Frames in and out of a running link, for whoever asks for them while it runs.
//!
//! The link's thread appends to a bounded buffer, another thread takes from it. The one invariant: the link never
//! waits for who records. Frames without room are counted, and the next one recorded says how many are missing.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ipc_core::Wake;
use qnet_proto::{LinkId, Time};

use crate::{
    driver::{
        Arrived, Hole, Link, LinkCounters, LinkError, Mac,
        pcapng::{self, Direction},
    },
    limits::TAP_BUFFER_LEN,
};

/// Where a link's frames can be had. Clones are the same tap.
#[derive(Clone, Debug)]
pub struct Tap(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    interfaces: Vec<String>,
    /// Whether anybody records; what the link's thread looks at for each frame.
    is_on: AtomicBool,
    buffer: Mutex<Buffer>,
}

#[derive(Debug, Default)]
struct Buffer {
    /// Blocks of a pcapng file, not yet taken.
    bytes: Vec<u8>,
    /// Frames since the last recorded one that there was no room for.
    missing: u64,
    /// Bytes of a frame that are recorded; of a longer one its begin.
    frame_len_max: usize,
}

/// The right to take a link's frames. One has it at a time; it ends with the value.
#[derive(Debug)]
pub struct Recording(Tap);

impl Tap {
    /// A tap of a link whose ports have these names.
    pub fn new(interfaces: Vec<String>) -> Tap {
        Tap(Arc::new(Inner {
            interfaces,
            is_on: AtomicBool::new(false),
            buffer: Mutex::default(),
        }))
    }

    /// Begins to record, of each frame at most its first `frame_len_max` bytes; `None` while somebody else does.
    pub fn record(&self, frame_len_max: usize) -> Option<Recording> {
        let mut buffer = self.buffer();
        if self.0.is_on.load(Ordering::Relaxed) {
            return None;
        }
        *buffer = Buffer {
            frame_len_max,
            ..Buffer::default()
        };
        pcapng::begin(&mut buffer.bytes, &self.0.interfaces);
        self.0.is_on.store(true, Ordering::Relaxed);
        Some(Recording(self.clone()))
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    fn note(&self, port: LinkId, frame: &[u8], direction: Direction) {
        let mut buffer = self.buffer();
        // It may have ended since `is_on`; under the lock this is certain.
        if !self.is_on() {
            return;
        }
        let kept = frame.len().min(buffer.frame_len_max);
        if buffer.bytes.len() + pcapng::frame_block_len_max(kept) > TAP_BUFFER_LEN {
            buffer.missing += 1;
            return;
        }
        let missing = mem::take(&mut buffer.missing);
        let (kept, len) = (&frame[..kept], frame.len());
        pcapng::push_part(&mut buffer.bytes, port, kept, len, direction, missing);
    }
}

impl Recording {
    /// Takes up to `len` bytes of a pcapng file: what comes next in it, empty while there is nothing new.
    pub fn take(&self, len: usize) -> Vec<u8> {
        let mut buffer = self.0.buffer();
        let end = len.min(buffer.bytes.len());
        let rest = buffer.bytes.split_off(end);
        mem::replace(&mut buffer.bytes, rest)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut buffer = self.0.buffer();
        self.0.0.is_on.store(false, Ordering::Relaxed);
        *buffer = Buffer::default();
    }
}

/// A link around a link with a tap.
#[derive(Debug)]
pub struct TapLink<L> {
    inner: L,
    tap: Tap,
}

impl<L: Link> TapLink<L> {
    /// Lets `tap` see the frames of `inner`.
    pub fn new(inner: L, tap: Tap) -> TapLink<L> {
        TapLink { inner, tap }
    }
}

impl<L: Link> Link for TapLink<L> {
    fn mac(&self) -> Mac {
        self.inner.mac()
    }

    fn mtu(&self) -> usize {
        self.inner.mtu()
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        self.inner.frame_buffer()
    }

    fn queue_to(&mut self, port: LinkId, len: usize) {
        if self.tap.is_on()
            && let Some(frame) = self.inner.frame_buffer()
        {
            self.tap.note(port, &frame[..len], Direction::Out);
        }
        self.inner.queue_to(port, len);
    }

    fn queue_with_hole_to(&mut self, port: LinkId, len: usize, hole: Hole) {
        if !self.tap.is_on() {
            return self.inner.queue_with_hole_to(port, len, hole);
        }
        if let Some(frame) = self.inner.frame_buffer() {
            hole.fill(frame);
        }
        self.queue_to(port, len);
    }

    fn wake(&mut self, wakes: &[Wake]) {
        self.inner.wake(wakes);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        self.inner.wait(timeout)
    }

    fn wait_until(&mut self, now: Time, until: Option<Time>) -> Result<(), LinkError> {
        self.inner.wait_until(now, until)
    }

    fn may_have_rung(&self) -> bool {
        self.inner.may_have_rung()
    }

    fn nothing_changed(&mut self) {
        self.inner.nothing_changed();
    }

    fn rest(&mut self, span: Duration) -> Result<(), LinkError> {
        self.inner.rest(span)
    }

    fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])> {
        let (port, frame) = self.inner.next_frame_from()?;
        if self.tap.is_on() {
            self.tap.note(port, frame, Direction::In);
        }
        Some((port, frame))
    }

    fn next_frame_placing(
        &mut self,
        place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> Option<Arrived<'_>> {
        if !self.tap.is_on() {
            return self.inner.next_frame_placing(place);
        }
        // Whole, to be recorded.
        let (port, frame) = self.next_frame_from()?;
        let has_hole = false;
        Some(Arrived {
            port,
            frame,
            has_hole,
        })
    }

    fn next_carrier(&mut self) -> Option<(LinkId, bool)> {
        self.inner.next_carrier()
    }

    fn counters(&self) -> LinkCounters {
        self.inner.counters()
    }

    fn counters_of(&self, port: LinkId) -> LinkCounters {
        self.inner.counters_of(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: LinkId = LinkId(0);

    /// The frames of a pcapng file: how many, and how many blocks there are before them.
    fn frames(mut bytes: &[u8]) -> (usize, usize) {
        let (mut frames, mut others) = (0, 0);
        while let Some((len, is_frame)) = pcapng::first_block(bytes) {
            *(if is_frame { &mut frames } else { &mut others }) += 1;
            bytes = &bytes[len..];
        }
        assert!(bytes.is_empty(), "whole blocks");
        (frames, others)
    }

    #[test]
    fn frames_are_recorded_while_somebody_asks_and_by_one_at_a_time() {
        let tap = Tap::new(vec!["eth7".to_owned(), "eth8".to_owned()]);
        tap.note(PORT, &[1; 60], Direction::In);
        let recording = tap.record(usize::MAX).unwrap();
        assert!(tap.record(60).is_none());
        tap.note(PORT, &[2; 60], Direction::In);
        tap.note(PORT, &[3; 61], Direction::Out);
        let mut file = Vec::new();
        loop {
            let part = recording.take(7);
            if part.is_empty() {
                break;
            }
            file.extend(part);
        }
        assert_eq!(frames(&file), (2, 3), "the section and two interfaces");
        drop(recording);
        tap.note(PORT, &[4; 60], Direction::In);
        let again = tap.record(usize::MAX).unwrap();
        assert_eq!(frames(&again.take(usize::MAX)), (0, 3), "it begins anew");
    }

    #[test]
    fn what_nobody_takes_is_counted_and_takes_no_more_memory() {
        let tap = Tap::new(vec!["eth7".to_owned()]);
        let recording = tap.record(usize::MAX).unwrap();
        for _ in 0..TAP_BUFFER_LEN / 1500 + 10 {
            tap.note(PORT, &[5; 1500], Direction::In);
        }
        let missing = tap.buffer().missing;
        assert!(missing >= 10, "{missing}");
        let kept = recording.take(usize::MAX);
        assert!(kept.len() <= TAP_BUFFER_LEN);
        tap.note(PORT, &[6; 60], Direction::In);
        let next = recording.take(usize::MAX);
        let count = missing.to_le_bytes();
        assert!(next.windows(8).any(|bytes| bytes == count), "it says so");
        assert_eq!(tap.buffer().missing, 0);
    }

    #[test]
    fn of_a_long_frame_the_begin_is_recorded_and_its_length() {
        let tap = Tap::new(vec!["eth7".to_owned()]);
        let recording = tap.record(64).unwrap();
        let begun = recording.take(usize::MAX).len();
        assert!(begun > 0);
        tap.note(PORT, &[7; 1500], Direction::Out);
        tap.note(PORT, &[8; 60], Direction::In);
        let file = recording.take(usize::MAX);
        assert_eq!(frames(&file), (2, 0));
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        // Bytes here, bytes on the wire.
        assert_eq!((word(20), word(24)), (64, 1500));
        let second = word(4) as usize;
        assert_eq!((word(second + 20), word(second + 24)), (60, 60));
    }
}
