//! Slots: where the answer to one message in flight comes back.
//!
//! ```text
//! 0   state word (see SlotState; the upper 28 bits carry the slot's generation)
//! 4   reply length        8  status        16  written range        24  flags
//! 32  up to 96 bytes of reply
//! ```
//!
//! The client arms the word before it posts the entry; the server's [`complete`](Region::complete)
//! swaps DONE in and learns by the same instruction whether anybody sleeps on it.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    abi::{Errno, Result},
    shm::{Region, layout::SLOT_LEN},
    sync::{AtomicU32, Ordering},
    sys::futex,
};

/// Bytes of reply that travel inside the slot.
pub(crate) const REPLY_INLINE_MAX: usize = 96;

const BODY_OFFSET: usize = 4;
const INLINE_OFFSET: usize = 32;
const STATE_BITS: u32 = 4;
const STATE_MASK: u32 = (1 << STATE_BITS) - 1;

/// What the state word of a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SlotState {
    /// No message; or the client took the answer.
    Free = 0,
    /// Posted; the client is awake.
    Pending = 1,
    /// Posted; the client sleeps on the word.
    Sleeping = 2,
    /// The server received the message; said only to who asked to be told.
    Received = 3,
    /// The server keeps the client blocked, having told its application that it wants out.
    Unblocking = 4,
    /// The answer is there.
    Done = 5,
    /// The connection ended first; written by the client's own process.
    Dead = 6,
}

bitflags! {
    /// How the answer is to be understood.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct CompletionFlags: u32 {
        /// The status is an errno.
        const ERROR = 1;
        /// The client's own wish to be unblocked was granted; the status says nothing.
        const CANCELLED = 2;
    }
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Completion {
    pub(crate) flags: CompletionFlags,
    pub(crate) status: i64,
    /// Reply bytes from offset 0.
    pub(crate) len: u32,
    /// The range that earlier writes touched, as start and end.
    pub(crate) written: (u32, u32),
}

/// Why a wait on a slot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Done,
    Dead,
    /// Received or unblocking: the wait goes on under other terms.
    Moved(SlotState),
}

#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Body {
    len: u32,
    status: [u32; 2],
    written_start: u32,
    written_end: u32,
    flags: u32,
}

const _: () = assert!(BODY_OFFSET + size_of::<Body>() <= INLINE_OFFSET);
const _: () = assert!(INLINE_OFFSET + REPLY_INLINE_MAX == SLOT_LEN);

impl Region {
    fn slot_word(&self, slot: u32) -> &AtomicU32 {
        self.mapping().atomic_u32(self.layout().slot(slot))
    }

    /// Client: the slot waits for an answer from now on.
    pub(crate) fn arm(&self, slot: u32, generation: u32) {
        let word = word(SlotState::Pending, generation);
        self.slot_word(slot).store(word, Ordering::Relaxed);
    }

    /// Client: the answer was taken.
    pub(crate) fn disarm(&self, slot: u32, generation: u32) {
        self.slot_word(slot)
            .store(word(SlotState::Free, generation), Ordering::Relaxed);
    }

    /// Server: puts `bytes` in the slot's own line.
    pub(crate) fn write_reply_inline(&self, slot: u32, offset: usize, bytes: &[u8]) {
        assert!(
            offset + bytes.len() <= REPLY_INLINE_MAX,
            "invariant: inline replies fit"
        );
        self.mapping()
            .write(self.layout().slot(slot) + INLINE_OFFSET + offset, bytes);
    }

    /// Client: takes reply bytes from the slot's own line; answers how many there were.
    pub(crate) fn read_reply_inline(&self, slot: u32, offset: usize, into: &mut [u8]) -> usize {
        let offset = offset.min(REPLY_INLINE_MAX);
        let len = into.len().min(REPLY_INLINE_MAX - offset);
        self.mapping().read(
            self.layout().slot(slot) + INLINE_OFFSET + offset,
            &mut into[..len],
        );
        len
    }

    /// Server: hands the answer over and wakes the client if it sleeps. Answers whether it had to.
    pub(crate) fn complete(&self, slot: u32, generation: u32, completion: &Completion) -> bool {
        let status = completion.status.cast_unsigned();
        let body = Body {
            len: completion.len,
            status: [status as u32, (status >> 32) as u32],
            written_start: completion.written.0,
            written_end: completion.written.1,
            flags: completion.flags.bits(),
        };
        self.mapping()
            .write(self.layout().slot(slot) + BODY_OFFSET, body.as_bytes());
        self.hand_over(slot, word(SlotState::Done, generation))
    }

    /// Server: moves a waiting slot to `state`, unless it was answered. Answers whether it woke anyone.
    pub(crate) fn move_to(&self, slot: u32, generation: u32, state: SlotState) -> bool {
        self.replace_waiting(slot, word(state, generation))
    }

    /// Client's monitor: ends the wait on a slot that no answer will reach any more.
    pub(crate) fn kill(&self, slot: u32) {
        let generation = self.slot_word(slot).load(Ordering::Relaxed) >> STATE_BITS;
        self.replace_waiting(slot, word(SlotState::Dead, generation));
    }

    /// Client: whether the wait on `slot` is over, without sleeping.
    pub(crate) fn poll_slot(&self, slot: u32, known: SlotState) -> Option<Waited> {
        ended(self.slot_word(slot).load(Ordering::Acquire), known)
    }

    /// Client: sleeps until the slot leaves the state that the caller knows of.
    ///
    /// # Errors
    /// `ETIMEDOUT` at `deadline_ns`, `EINTR` for a signal.
    pub(crate) fn wait_slot(
        &self,
        slot: u32,
        known: SlotState,
        deadline_ns: Option<u64>,
    ) -> Result<Waited> {
        let word_ref = self.slot_word(slot);
        loop {
            let current = word_ref.load(Ordering::Acquire);
            if let Some(end) = ended(current, known) {
                return Ok(end);
            }
            let asleep = word(SlotState::Sleeping, current >> STATE_BITS);
            if current != asleep
                && word_ref
                    .compare_exchange(current, asleep, Ordering::AcqRel, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            match futex::wait(word_ref, asleep, futex::MATCH_ANY, deadline_ns) {
                Ok(()) | Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Client: the answer of a slot that is done. A hostile server's flags and lengths are bounded by
    /// whoever uses them.
    pub(crate) fn completion(&self, slot: u32) -> Completion {
        let mut bytes = [0; size_of::<Body>()];
        self.mapping()
            .read(self.layout().slot(slot) + BODY_OFFSET, &mut bytes);
        let body = Body::read_from_bytes(&bytes).expect("invariant: the sizes are equal");
        let status = u64::from(body.status[0]) | u64::from(body.status[1]) << 32;
        Completion {
            flags: CompletionFlags::from_bits_truncate(body.flags),
            status: status.cast_signed(),
            len: body.len,
            written: (body.written_start, body.written_end),
        }
    }

    fn hand_over(&self, slot: u32, new: u32) -> bool {
        let word_ref = self.slot_word(slot);
        let old = word_ref.swap(new, Ordering::AcqRel);
        old & STATE_MASK == SlotState::Sleeping as u32
            && futex::wake(word_ref, i32::MAX, futex::MATCH_ANY) > 0
    }

    fn replace_waiting(&self, slot: u32, new: u32) -> bool {
        let word_ref = self.slot_word(slot);
        let mut old = word_ref.load(Ordering::Relaxed);
        while is_waiting(old) {
            match word_ref.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    return old & STATE_MASK == SlotState::Sleeping as u32
                        && futex::wake(word_ref, i32::MAX, futex::MATCH_ANY) > 0;
                }
                Err(now) => old = now,
            }
        }
        false
    }
}

const fn word(state: SlotState, generation: u32) -> u32 {
    generation << STATE_BITS | state as u32
}

fn is_waiting(word: u32) -> bool {
    (SlotState::Pending as u32..=SlotState::Unblocking as u32).contains(&(word & STATE_MASK))
}

fn ended(word: u32, known: SlotState) -> Option<Waited> {
    let state = word & STATE_MASK;
    if state == SlotState::Done as u32 {
        Some(Waited::Done)
    } else if state == SlotState::Received as u32 && known != SlotState::Received {
        Some(Waited::Moved(SlotState::Received))
    } else if state == SlotState::Unblocking as u32 && known != SlotState::Unblocking {
        Some(Waited::Moved(SlotState::Unblocking))
    } else if is_waiting(word) {
        None
    } else {
        Some(Waited::Dead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::Layout;

    fn region() -> Region {
        Region::create(Layout::new(2, 0).unwrap()).unwrap().0
    }

    #[test]
    fn a_sleeping_client_gets_the_answer() {
        let region = region();
        region.arm(1, 9);
        assert_eq!(region.poll_slot(1, SlotState::Pending), None);
        let sent = Completion {
            status: -5,
            len: 3,
            written: (1, 2),
            ..Completion::default()
        };
        std::thread::scope(|scope| {
            let client = scope.spawn(|| region.wait_slot(1, SlotState::Pending, None));
            region.write_reply_inline(1, 0, b"yes");
            region.complete(1, 9, &sent);
            assert_eq!(client.join().unwrap(), Ok(Waited::Done));
        });
        assert_eq!(region.completion(1), sent);
        let mut out = [0; 200];
        assert_eq!(region.read_reply_inline(1, 0, &mut out), REPLY_INLINE_MAX);
        assert_eq!(&out[..3], b"yes");
    }

    #[test]
    fn an_answer_wins_over_a_death_that_comes_later() {
        let region = region();
        region.arm(0, 1);
        region.complete(0, 1, &Completion::default());
        region.kill(0);
        assert_eq!(region.poll_slot(0, SlotState::Pending), Some(Waited::Done));
        region.arm(0, 2);
        region.kill(0);
        assert_eq!(region.poll_slot(0, SlotState::Pending), Some(Waited::Dead));
    }

    #[test]
    fn a_reported_receive_ends_the_wait_once() {
        let region = region();
        region.arm(0, 1);
        region.move_to(0, 1, SlotState::Received);
        let moved = Waited::Moved(SlotState::Received);
        assert_eq!(region.wait_slot(0, SlotState::Pending, None), Ok(moved));
        let soon = Some(crate::sys::clock::monotonic_ns() + 1_000_000);
        assert_eq!(
            region.wait_slot(0, SlotState::Received, soon),
            Err(Errno::ETIMEDOUT)
        );
        region.complete(0, 1, &Completion::default());
        assert_eq!(
            region.wait_slot(0, SlotState::Received, None),
            Ok(Waited::Done)
        );
    }
}
