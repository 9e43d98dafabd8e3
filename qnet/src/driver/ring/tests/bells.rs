//! Doorbells: words that the ring waits on.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{ETHERTYPE, RingLink, flush, pair, send};
use crate::driver::{Doorbell, FrameSocket, Link, Poke, Word};

pub(super) struct Bell(pub(super) AtomicU32);

impl Bell {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Release);
        // SAFETY: the word lives in `self`; a wake touches no memory.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
    }
}

impl Doorbell for Arc<Bell> {
    fn announce(&self, words: &mut Vec<Word>) -> bool {
        words.push(Word {
            address: self.0.as_ptr(),
            value: self.0.load(Ordering::Acquire),
            serial: 0,
        });
        true
    }

    fn retract(&self) {}

    fn is_ready(&self) -> bool {
        false
    }
}

/// A bell that counts how often a sleep was announced to it, and how often taken back.
struct Told(Arc<Bell>, Arc<[AtomicU32; 2]>);

impl Doorbell for Told {
    fn announce(&self, words: &mut Vec<Word>) -> bool {
        self.1[0].fetch_add(1, Ordering::Relaxed);
        self.0.announce(words)
    }

    fn retract(&self) {
        self.1[1].fetch_add(1, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        false
    }
}

/// A bell without a word, which somebody has rung.
pub(super) struct Rung;

impl Doorbell for Rung {
    fn announce(&self, _: &mut Vec<Word>) -> bool {
        panic!("no sleep is announced where there is something to do")
    }

    fn retract(&self) {}

    fn is_ready(&self) -> bool {
        true
    }
}

/// Bells that come and go.
struct Several(RefCell<Vec<Arc<Bell>>>);

impl Doorbell for Rc<Several> {
    fn announce(&self, words: &mut Vec<Word>) -> bool {
        self.0.borrow().iter().all(|bell| bell.announce(words))
    }

    fn retract(&self) {}

    fn is_ready(&self) -> bool {
        false
    }
}

/// A bell whose word may be another's from one announcement to the next, at the same address.
struct Remapped(Arc<Bell>, Rc<Cell<u64>>);

impl Doorbell for Remapped {
    fn announce(&self, words: &mut Vec<Word>) -> bool {
        let is_quiet = self.0.announce(words);
        let serial = self.1.get();
        words.iter_mut().for_each(|word| word.serial = serial);
        is_quiet
    }

    fn retract(&self) {}

    fn is_ready(&self) -> bool {
        false
    }
}

/// Sleeps until the bell has rung, fifty times. It rings on until it was heard: these bells do not tell who announces a
/// sleep that they have rung a moment before.
fn be_rung(one: &mut RingLink, bell: &Arc<Bell>) {
    flush(one);
    for _ in 0..50 {
        let seen = bell.0.load(Ordering::Acquire);
        let is_heard = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_heard.load(Ordering::Acquire) {
                    bell.ring();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            while bell.0.load(Ordering::Acquire) == seen {
                one.wait(None).unwrap();
            }
            is_heard.store(true, Ordering::Release);
        });
    }
}

#[test]
fn a_doorbell_ends_the_sleep_again_and_again() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let Some((mut one, _two, _)) = pair(1500, vec![Box::new(Arc::clone(&bell))]) else {
        return;
    };
    be_rung(&mut one, &bell);
}

#[test]
fn a_doorbell_ends_the_sleep_also_where_io_uring_cannot_wait_for_it() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let (socket, _other) = FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap();
    let bells: Vec<Box<dyn Doorbell>> = vec![Box::new(Arc::clone(&bell))];
    match RingLink::open_with(vec![socket], Poke::new().unwrap(), bells, |_| false) {
        Ok(mut one) => be_rung(&mut one, &bell),
        Err(error) => println!("skipped: {error}"),
    }
}

#[test]
fn only_frames_leave_no_doubt_that_no_bell_has_rung() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let Some((mut one, mut two, _)) = pair(1500, vec![Box::new(Arc::clone(&bell))]) else {
        return;
    };
    flush(&mut one);
    assert!(one.may_have_rung(), "nobody was told of a sleep");
    send(&mut two, one.mac(), ETHERTYPE, b"x");
    flush(&mut two);
    one.wait(None).unwrap();
    assert!(!one.may_have_rung());
    assert!(one.next_frame().is_some());
    let ringer = Arc::clone(&bell);
    let thread = std::thread::spawn(move || ringer.ring());
    while bell.0.load(Ordering::Acquire) == 0 || !one.may_have_rung() {
        one.wait(None).unwrap();
    }
    thread.join().unwrap();
    flush(&mut one);
    assert!(one.may_have_rung());
}

#[test]
fn an_announcement_outlasts_a_frame_by_itself_if_nothing_has_changed() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let told = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let counts = || [0, 1].map(|of| told[of].load(Ordering::Relaxed));
    let doorbell = Told(Arc::clone(&bell), Arc::clone(&told));
    let Some((mut one, mut two, _)) = pair(1500, vec![Box::new(doorbell)]) else {
        return;
    };
    let mut get = |one: &mut RingLink, frames| {
        for _ in 0..frames {
            send(&mut two, one.mac(), ETHERTYPE, b"x");
        }
        flush(&mut two);
        one.wait(None).unwrap();
        while one.next_frame().is_some() {}
    };
    get(&mut one, 1);
    assert_eq!(counts(), [1, 0]);
    one.nothing_changed();
    get(&mut one, 1);
    assert_eq!(counts(), [1, 0]);
    get(&mut one, 1);
    assert_eq!(
        counts(),
        [2, 0],
        "the thread did not say that nothing changed"
    );
    one.nothing_changed();
    get(&mut one, 2);
    assert_eq!(counts(), [2, 1], "more are likely to come");
    get(&mut one, 1);
    one.nothing_changed();
    bell.ring();
    one.wait(None).unwrap();
    assert!(one.may_have_rung(), "who rings is heard all the same");
    assert_eq!(counts(), [3, 2]);
}

#[test]
fn words_that_go_are_no_longer_slept_on() {
    let bells = [0; 3].map(|_| Arc::new(Bell(AtomicU32::new(0))));
    let several = Rc::new(Several(RefCell::new(bells[..2].to_vec())));
    let Some((mut one, _two, _)) = pair(1500, vec![Box::new(Rc::clone(&several))]) else {
        return;
    };
    let timeout = Some(Duration::from_millis(2));
    one.wait(timeout).unwrap();
    several
        .0
        .replace(vec![Arc::clone(&bells[2]), Arc::clone(&bells[1])]);
    // Its first round ends with the old wait.
    for _ in 0..4 {
        one.wait(timeout).unwrap();
    }
    for bell in &bells[1..] {
        be_rung(&mut one, bell);
    }
    // The last ring may have been seen before it was told of.
    while one.may_have_rung() {
        one.wait(timeout).unwrap();
    }
    bells[0].ring();
    one.wait(timeout).unwrap();
    assert!(!one.may_have_rung());
    assert!(one.quiesce());
}

#[test]
fn a_wait_on_a_word_is_not_taken_for_that_of_the_next_doorbell_at_its_address() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let serial = Rc::new(Cell::new(1));
    let remapped = Remapped(Arc::clone(&bell), Rc::clone(&serial));
    let Some((mut one, _two, _)) = pair(1500, vec![Box::new(remapped)]) else {
        return;
    };
    let timeout = Some(Duration::from_millis(2));
    one.wait(timeout).unwrap();
    let before = one.bells.begun();
    one.wait(timeout).unwrap();
    assert_eq!(one.bells.begun(), before, "it outlasts the sleep");
    serial.set(2);
    one.wait(timeout).unwrap();
    assert_eq!(one.bells.begun(), before + 1);
    be_rung(&mut one, &bell);
}
