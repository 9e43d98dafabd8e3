//! Slots: where the answer to one message in flight comes back.
//!
//! ```text
//! 0   state word (see SlotState; the upper 28 bits carry the slot's generation)
//! 4   reply length        8  status        16  written range        24  flags        28  asleep
//! 32  up to 96 bytes of reply
//! ```
//!
//! Every message has a generation of its own, so the word need not be made ready for it: whatever an
//! earlier message left there is no answer to this one. The word is written by the server alone, by plain
//! stores: an instruction that reads it back would have to fetch the line a second time from a client
//! that polls it. Whether the client sleeps stands in a word of its own. Whether the connection still
//! lives stands in the client's private memory, not here.
//!
//! SYNC(slot): the server stores its answer, then a SeqCst fence, then reads whether the client is
//! asleep; the client says that it is, then a SeqCst fence, then reads the state. Without the two fences
//! both could read what was there before, and the client would sleep beside its answer. Whoever wakes it
//! takes the word back first, so that a client that is not quite asleep yet stays awake. Who answers many at
//! once reads a word of the region's header first: how many of the client's threads say that they sleep.

use crate::{
    abi::{Errno, Result},
    shm::{
        Completion, Region,
        answer::{INLINE_FIRST, INLINE_OFFSET, REPLY_INLINE_MAX},
        layout::SLEEPERS_OFFSET,
    },
    sync::{AtomicU32, Ordering, fence},
    sys::futex::{self, Wake},
};

pub(super) const ASLEEP_OFFSET: usize = 28;
const STATE_BITS: u32 = 4;

/// What the word beside the state says of the client.
const ASLEEP: u32 = 1;
const AWAKE: u32 = 0;

/// What the state word of a slot says about the message of its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SlotState {
    /// No more than that it is posted.
    Waiting = 0,
    /// The server received the message; said only to who asked to be told.
    Received = 2,
    /// The server keeps the client blocked, having told its application that it wants out.
    Unblocking = 3,
    /// The answer is there.
    Done = 4,
}

/// What a look at a slot found, or why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Done,
    /// Received or unblocking: the wait goes on under other terms.
    Moved(SlotState),
    /// Somebody wanted the sleeper to look round.
    Interrupted,
}

impl Region {
    #[inline(always)]
    fn slot_word(&self, slot: u32) -> &AtomicU32 {
        self.mapping().atomic_u32(self.layout().slot(slot))
    }

    /// How many threads sleep on slots, or are about to.
    #[inline(always)]
    fn sleepers_word(&self) -> &AtomicU32 {
        self.mapping().atomic_u32(SLEEPERS_OFFSET)
    }

    #[inline(always)]
    fn asleep_word(&self, slot: u32) -> &AtomicU32 {
        self.mapping()
            .atomic_u32(self.layout().slot(slot) + ASLEEP_OFFSET)
    }

    /// Server: puts `bytes` in the slot's own lines.
    #[inline(always)]
    pub(crate) fn write_reply_inline(&self, slot: u32, offset: usize, bytes: &[u8]) {
        assert!(
            offset + bytes.len() <= REPLY_INLINE_MAX,
            "invariant: inline replies fit"
        );
        let at = self.layout().slot(slot) + INLINE_OFFSET + offset;
        // The far line first: between two stores to the polled line nothing may wait for another line, or
        // the client fetches the polled one half written and it has to be fetched back.
        let (near, far) = bytes.split_at(INLINE_FIRST.saturating_sub(offset).min(bytes.len()));
        self.mapping().write_short(at + near.len(), far);
        self.mapping().write_short(at, near);
    }

    /// Client: takes reply bytes from the slot's own line; answers how many there were.
    #[inline]
    pub(crate) fn read_reply_inline(&self, slot: u32, offset: usize, into: &mut [u8]) -> usize {
        self.lines().slot(slot).read_reply(offset, into)
    }

    /// Server: hands the answer over and wakes the client if it sleeps. Answers whether it had to.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn complete(&self, slot: u32, generation: u32, completion: &Completion) -> bool {
        self.answer(slot, generation, completion);
        self.wake_sleeper(slot)
    }

    /// Server: hands the answer over. [`wake_sleeper`](Self::wake_sleeper) must follow, unless nobody
    /// sleeps on the slot of such a message.
    #[inline]
    pub(crate) fn answer(&self, slot: u32, generation: u32, completion: &Completion) {
        let slot = self.lines().slot(slot);
        slot.write_answer(completion);
        slot.publish(generation);
    }

    /// Server: wakes the client if it sleeps beside what was just stored. Answers whether it did.
    pub(crate) fn wake_sleeper(&self, slot: u32) -> bool {
        self.owed_wake(slot).is_some_and(|wake| wake.make() > 0)
    }

    /// Server: as [`wake_sleeper`](Self::wake_sleeper), but leaves the waking to the caller, who must do it soon.
    pub(crate) fn owed_wake(&self, slot: u32) -> Option<Wake> {
        fence(Ordering::SeqCst); // SYNC(slot)
        let asleep = self.asleep_word(slot);
        (asleep.load(Ordering::Relaxed) != 0).then(|| take_awake(asleep))
    }

    /// Server: as [`wake_sleeper`](Self::wake_sleeper), for answers stored one after the other: one fence for
    /// all, and no look at any slot while nobody sleeps on one. Answers how many slept.
    #[inline]
    pub(crate) fn wake_sleepers(&self, slots: impl Iterator<Item = u32>) -> usize {
        fence(Ordering::SeqCst); // SYNC(slot)
        if self.sleepers_word().load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let asleep = slots.map(|slot| self.asleep_word(slot));
        asleep
            .filter(|asleep| asleep.load(Ordering::Relaxed) != 0 && wake(asleep))
            .count()
    }

    /// Server: says how far the message of a slot has come, short of its answer, and wakes the client if
    /// it sleeps. All of this for one message happens under one lock, or after it left the table.
    pub(crate) fn move_to(&self, slot: u32, generation: u32, state: SlotState) {
        let word_ref = self.slot_word(slot);
        if word_ref.load(Ordering::Relaxed) != word(SlotState::Done, generation) {
            word_ref.store(word(state, generation), Ordering::Release);
            self.wake_sleeper(slot);
        }
    }

    /// Client: makes whoever sleeps on the slot look round, at something that was stored before.
    pub(crate) fn interrupt(&self, slot: u32) {
        fence(Ordering::SeqCst); // SYNC(life)
        wake(self.asleep_word(slot));
    }

    /// Client: whether the answer is there.
    #[inline]
    pub(crate) fn is_done(&self, slot: u32, generation: u32) -> bool {
        self.lines().slot(slot).is_done(generation)
    }

    /// Client: whether the server said that it received the message, and no more yet.
    pub(crate) fn is_received(&self, slot: u32, generation: u32) -> bool {
        let current = self.slot_word(slot).load(Ordering::Acquire);
        current == word(SlotState::Received, generation)
    }

    /// Client: sleeps until there is news. `may_sleep` is asked after the sleeper announced itself, so
    /// that whoever [`interrupt`](Self::interrupt)s it either changes that answer first or wakes it.
    ///
    /// # Errors
    /// `ETIMEDOUT` at `deadline_ns`, `EINTR` for a signal.
    pub(crate) fn wait_slot(
        &self,
        slot: u32,
        generation: u32,
        known: SlotState,
        deadline_ns: Option<u64>,
        may_sleep: impl Fn() -> bool,
    ) -> Result<Waited> {
        let look = || {
            let current = self.slot_word(slot).load(Ordering::Acquire);
            news(current, generation, known)
        };
        if let Some(news) = look() {
            return Ok(news);
        }
        let asleep = self.asleep_word(slot);
        asleep.store(ASLEEP, Ordering::Relaxed);
        self.sleepers_word().fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst); // SYNC(slot), SYNC(life)
        let slept = match look() {
            None if may_sleep() => futex::wait(asleep, ASLEEP, futex::MATCH_ANY, deadline_ns),
            _ => Ok(()),
        };
        asleep.store(AWAKE, Ordering::Relaxed);
        self.sleepers_word().fetch_sub(1, Ordering::Relaxed);
        match slept {
            Ok(()) | Err(Errno::EAGAIN) => Ok(look().unwrap_or(Waited::Interrupted)),
            Err(error) => Err(error),
        }
    }

    /// Client: the answer of a slot that is done. A hostile server's flags and lengths are bounded by
    /// whoever uses them.
    #[inline]
    pub(crate) fn completion(&self, slot: u32) -> Completion {
        self.lines().slot(slot).completion()
    }
}

pub(super) const fn word(state: SlotState, generation: u32) -> u32 {
    generation << STATE_BITS | state as u32
}

fn wake(asleep: &AtomicU32) -> bool {
    take_awake(asleep).make() > 0
}

fn take_awake(asleep: &AtomicU32) -> Wake {
    asleep.store(AWAKE, Ordering::Relaxed);
    Wake::of(asleep, i32::MAX, futex::MATCH_ANY)
}

fn news(current: u32, generation: u32, known: SlotState) -> Option<Waited> {
    if current == word(SlotState::Done, generation) {
        return Some(Waited::Done);
    }
    [SlotState::Received, SlotState::Unblocking]
        .into_iter()
        .find(|state| current == word(*state, generation) && known != *state)
        .map(Waited::Moved)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shm::Layout;

    fn region() -> Region {
        Region::create(Layout::new(2, 0).unwrap()).unwrap().0
    }

    fn wait(region: &Region, generation: u32, known: SlotState) -> Waited {
        loop {
            match region
                .wait_slot(1, generation, known, None, || true)
                .unwrap()
            {
                Waited::Interrupted => {}
                news => return news,
            }
        }
    }

    #[test]
    fn a_sleeping_client_gets_the_answer() {
        let region = region();
        let sent = Completion {
            status: -5,
            len: 3,
            written: (1, 2),
            ..Completion::default()
        };
        std::thread::scope(|scope| {
            let client = scope.spawn(|| wait(&region, 9, SlotState::Waiting));
            region.write_reply_inline(1, 0, b"yes");
            region.complete(1, 9, &sent);
            assert_eq!(client.join().unwrap(), Waited::Done);
        });
        assert_eq!(region.completion(1), sent);
        let mut out = [0; 200];
        assert_eq!(region.read_reply_inline(1, 0, &mut out), REPLY_INLINE_MAX);
        assert_eq!(&out[..3], b"yes");
    }

    #[test]
    fn the_answer_to_an_earlier_message_is_none_to_this_one() {
        let region = region();
        region.complete(1, 1, &Completion::default());
        assert!(region.is_done(1, 1));
        assert!(!region.is_done(1, 2));
    }

    #[test]
    fn an_interrupted_sleeper_looks_round_and_an_answer_stays() {
        let region = region();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let may_sleep = || !stop.load(Ordering::Acquire);
                    let _ = region.wait_slot(1, 3, SlotState::Waiting, None, may_sleep);
                }
            });
            stop.store(true, Ordering::Release);
            while !sleeper.is_finished() {
                region.interrupt(1);
            }
        });
        region.complete(1, 3, &Completion::default());
        region.interrupt(1);
        assert!(region.is_done(1, 3));
    }

    #[test]
    fn a_reported_receive_ends_the_wait_once() {
        let region = region();
        region.move_to(1, 1, SlotState::Received);
        assert_eq!(
            wait(&region, 1, SlotState::Waiting),
            Waited::Moved(SlotState::Received)
        );
        let soon = Some(crate::sys::clock::monotonic_ns() + 1_000_000);
        let waited = region.wait_slot(1, 1, SlotState::Received, soon, || true);
        assert_eq!(waited, Err(Errno::ETIMEDOUT));
        region.complete(1, 1, &Completion::default());
        region.move_to(1, 1, SlotState::Unblocking);
        assert_eq!(wait(&region, 1, SlotState::Received), Waited::Done);
    }
}
