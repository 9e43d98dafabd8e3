//! Futexes among loom's threads: the kernel's promise, and nothing stronger.
//!
//! Looking at the word and falling asleep are one step, as in the kernel; a wake-up reaches the oldest
//! sleepers whose mask shares a bit with its own. There are no time limits: a thread that nobody wakes
//! sleeps for ever, and that is what loom reports as a deadlock.

use loom::sync::{Condvar, Mutex};

use crate::{
    abi::{Errno, Result},
    sync::{AtomicU32, Ordering},
};

struct Sleeper {
    word: usize,
    mask: u32,
    id: u64,
}

#[derive(Default)]
struct Queue {
    sleepers: Vec<Sleeper>,
    next_id: u64,
}

loom::lazy_static! {
    static ref QUEUE: Mutex<Queue> = Mutex::new(Queue::default());
    static ref WOKEN: Condvar = Condvar::new();
}

/// As the kernel's, without the deadline.
pub(crate) fn wait(word: &AtomicU32, value: u32, mask: u32, _: Option<u64>) -> Result<()> {
    let mut queue = QUEUE.lock().expect("no panic under the lock");
    if word.load(Ordering::Relaxed) != value {
        return Err(Errno::EAGAIN);
    }
    let id = queue.next_id;
    queue.next_id += 1;
    queue.sleepers.push(Sleeper {
        word: address(word),
        mask,
        id,
    });
    while queue.sleepers.iter().any(|sleeper| sleeper.id == id) {
        queue = WOKEN.wait(queue).expect("no panic under the lock");
    }
    Ok(())
}

/// As the kernel's.
pub(crate) fn wake(word: usize, count: i32, mask: u32) -> usize {
    let mut queue = QUEUE.lock().expect("no panic under the lock");
    let before = queue.sleepers.len();
    let mut left = count;
    queue.sleepers.retain(|sleeper| {
        let wakes = left > 0 && sleeper.word == word && sleeper.mask & mask != 0;
        left -= i32::from(wakes);
        !wakes
    });
    WOKEN.notify_all();
    before - queue.sleepers.len()
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
