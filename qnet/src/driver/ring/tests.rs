//! The link as its thread uses it, over a loopback pair.

use std::{
    cell::{Cell, RefCell},
    os::fd::AsFd,
    rc::Rc,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ipc_core::{Channel, ChannelFlags, Connection, Loan, Nd, Pid, set_runtime_dir};
use qnet_proto::LinkId;

use super::RingLink;
use crate::driver::{Doorbell, FrameSocket, Hole, Link, LinkError, Mac, Poke, Word, clock};

const ETHERTYPE: u16 = 0x88b5;

/// Two rings on one wire; `None`, with the reason printed, where io_uring is refused.
fn pair(mtu: usize, bells: Vec<Box<dyn Doorbell>>) -> Option<(RingLink, RingLink, Poke)> {
    let (one, two) = FrameSocket::loopback_pair(mtu, ETHERTYPE).unwrap();
    let poke = Poke::new().unwrap();
    let open = |socket, poke, bells| match RingLink::open(socket, poke, bells) {
        Ok(link) => Some(link),
        Err(error @ LinkError::RingRefused(_)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    };
    let one = open(one, poke.clone(), bells)?;
    Some((one, open(two, Poke::new().unwrap(), Vec::new())?, poke))
}

fn send(link: &mut RingLink, to: Mac, ethertype: u16, payload: &[u8]) {
    let from = link.mac();
    let frame = link.frame_buffer().expect("a free buffer");
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    frame[14..14 + payload.len()].copy_from_slice(payload);
    link.queue(14 + payload.len());
}

fn flush(link: &mut RingLink) {
    link.wait(Some(Duration::ZERO)).unwrap();
}

fn receive(link: &mut RingLink) -> Vec<u8> {
    loop {
        if let Some(frame) = link.next_frame() {
            return frame[14..].to_vec();
        }
        link.wait(None).unwrap();
    }
}

#[test]
fn frames_cross_both_ways_at_every_size() {
    for mtu in [1500, 9000, 65_535] {
        let Some((mut one, mut two, _)) = pair(mtu, Vec::new()) else {
            return;
        };
        for len in [0, 1, 46, mtu] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            send(&mut one, two.mac(), ETHERTYPE, &payload);
            flush(&mut one);
            assert_eq!(receive(&mut two), payload);
            send(&mut two, Mac::BROADCAST, ETHERTYPE, &payload);
            flush(&mut two);
            assert_eq!(receive(&mut one), payload);
        }
    }
}

/// A message in shared memory whose bytes are `payload`, and who keeps it there.
fn message(payload: &[u8]) -> (Channel, Connection, Loan) {
    static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    set_runtime_dir(DIR.path().to_path_buf());
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let pid = Pid(std::process::id().cast_signed());
    let connection = Connection::attach(Nd::LOCAL, pid, channel.chid()).unwrap();
    let mut loan = connection.loan(payload.len(), 0).unwrap();
    assert_eq!(loan.write(0, payload), payload.len());
    (channel, connection, loan)
}

fn hole(loan: &mut Loan, at: usize, offset: usize, len: usize) -> Hole {
    let bytes = loan.room(offset, len).expect("in shared memory");
    Hole { at, bytes }
}

#[test]
fn bytes_are_gathered_from_and_placed_where_messages_lie() {
    let Some((mut one, mut two, _)) = pair(65_535, Vec::new()) else {
        return;
    };
    let payload: Vec<u8> = (0..60_000_u32).map(|at| (at ^ at >> 8) as u8).collect();
    let (_from_channel, _from, mut source) = message(&payload);
    let (_to_channel, _to, mut target) = message(&[9; 60_000]);
    for (at, offset, len) in [(14, 0, 50_000), (100, 1000, 40_000), (200, 59_000, 1000)] {
        let frame = one.frame_buffer().unwrap();
        let mut whole = vec![7; 60_000];
        whole[..6].copy_from_slice(&two.mac().0);
        whole[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        frame[..whole.len()].copy_from_slice(&whole);
        one.queue_with_hole_to(LinkId(0), whole.len(), hole(&mut source, at, offset, len));
        flush(&mut one);
        whole[at..at + len].copy_from_slice(&payload[offset..offset + len]);

        let mut asked = 0;
        let arrived = loop {
            two.wait(None).unwrap();
            let arrived = two.next_frame_placing(&mut |frame, known| {
                asked += 1;
                assert_eq!((frame.len(), &frame[..known]), (60_000, &whole[..known]));
                Some(hole(&mut target, at, offset, len))
            });
            if let Some(arrived) = arrived {
                break arrived;
            }
        };
        assert!(arrived.has_hole && asked == 1);
        assert_eq!(arrived.frame[..at], whole[..at]);
        assert_eq!(arrived.frame[at + len..], whole[at + len..]);
        let mut placed = vec![0; len];
        let room = target.room(offset, len).unwrap();
        assert_eq!(room.read(&mut placed), len);
        assert_eq!(placed, payload[offset..offset + len]);
    }
    assert_eq!(target.room(59_999, 2).map(|room| room.len()), None);
}

#[test]
fn bytes_of_a_message_outlive_it_and_its_connection() {
    let payload: Vec<u8> = (0..20_000_u32).map(|at| at as u8).collect();
    let (channel, connection, mut loan) = message(&payload);
    let bytes = loan.room(1000, 10_000).expect("in shared memory");
    drop((loan, connection, channel));
    let mut kept = vec![0; 20_000];
    assert_eq!(bytes.read(&mut kept), 10_000);
    assert_eq!(kept[..10_000], payload[1000..11_000]);
}

#[test]
fn a_hole_that_is_not_wanted_or_not_inside_leaves_the_frame_whole() {
    let Some((mut one, mut two, _)) = pair(65_535, Vec::new()) else {
        return;
    };
    let payload: Vec<u8> = (0..30_000_u32).map(|at| at as u8).collect();
    let (_channel, _connection, mut room) = message(&[9; 40_000]);
    for bad in [None, Some((14, 39_000)), Some((5000, 100))] {
        let to = two.mac();
        send(&mut one, to, ETHERTYPE, &payload);
        flush(&mut one);
        two.wait(None).unwrap();
        let arrived =
            two.next_frame_placing(&mut |_, _| bad.map(|(at, len)| hole(&mut room, at, 0, len)));
        let arrived = arrived.expect("it was sent");
        assert!(!arrived.has_hole && arrived.frame[14..] == payload);
    }
}

#[test]
fn buffers_come_round_many_times() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    let (mut sent, mut seen) = (0_u32, 0_u32);
    while seen < 20_000 {
        for _ in 0..64 {
            send(&mut one, two.mac(), ETHERTYPE, &sent.to_le_bytes());
            sent += 1;
        }
        flush(&mut one);
        while seen < sent {
            assert_eq!(receive(&mut two), seen.to_le_bytes());
            seen += 1;
        }
    }
    assert_eq!(one.counters().frames_sent, u64::from(sent));
    assert_eq!(two.counters().frames_received, u64::from(seen));
}

#[test]
fn foreign_short_and_oversized_frames_are_counted_and_dropped() {
    let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    let raw = |bytes: &[u8], link: &RingLink| {
        nix::unistd::write(link.sockets[0].as_fd(), bytes).unwrap();
    };
    send(&mut one, two.mac(), 0x0800, b"another protocol");
    send(
        &mut one,
        Mac([2, 9, 9, 9, 9, 9]),
        ETHERTYPE,
        b"another station",
    );
    flush(&mut one);
    raw(&[1; 13], &one);
    raw(&[1; 1515], &one);
    raw(&[1; 4000], &one);
    send(&mut one, two.mac(), ETHERTYPE, b"ours");
    flush(&mut one);
    assert_eq!(receive(&mut two), b"ours");
    assert_eq!(two.counters().foreign, 2);
    assert_eq!(two.counters().bad_length, 3);
}

#[test]
fn frames_of_no_use_do_not_keep_the_thread_from_the_rest() {
    let Some((mut one, mut two, _)) = pair(65_535, Vec::new()) else {
        return;
    };
    for _ in 0..100 {
        send(
            &mut one,
            Mac([2, 9, 9, 9, 9, 9]),
            ETHERTYPE,
            b"another station",
        );
        flush(&mut one);
    }
    send(&mut one, two.mac(), ETHERTYPE, b"ours");
    flush(&mut one);
    flush(&mut two);
    flush(&mut two);
    assert!(two.next_frame().is_none());
    let passed_over = two.counters().foreign;
    assert!((1..100).contains(&passed_over), "{passed_over}");
    // Without a wait for anything to come: what is left is still to be looked at.
    assert!(!two.has_nothing());
    assert_eq!(
        two.next_frame().map(|frame| frame[14..].to_vec()),
        Some(b"ours".to_vec())
    );
    assert_eq!(two.counters().foreign, 100);
}

#[test]
fn a_round_with_sends_sleeps_in_the_system_call_that_submits_them() {
    let Some((mut one, two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    flush(&mut one);
    let before = one.counters().waits;
    for _ in 0..8 {
        send(&mut one, two.mac(), ETHERTYPE, b"x");
    }
    // Nothing comes back: it sleeps out its time although eight sends completed.
    one.wait(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(one.counters().waits, before + 1);
}

#[test]
fn a_poke_and_a_timeout_end_the_sleep() {
    let Some((mut one, _two, poke)) = pair(1500, Vec::new()) else {
        return;
    };
    one.wait(Some(Duration::from_millis(5))).unwrap();
    for _ in 0..3 {
        let other = poke.clone();
        let poker = std::thread::spawn(move || other.poke());
        one.wait(None).unwrap();
        poker.join().unwrap();
    }
}

struct Bell(AtomicU32);

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
struct Rung;

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

/// Sleeps until the bell has rung, fifty times.
fn be_rung(one: &mut RingLink, bell: &Arc<Bell>) {
    flush(one);
    for _ in 0..50 {
        let ringer = Arc::clone(bell);
        let seen = bell.0.load(Ordering::Acquire);
        let thread = std::thread::spawn(move || ringer.ring());
        while bell.0.load(Ordering::Acquire) == seen {
            one.wait(None).unwrap();
        }
        thread.join().unwrap();
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
fn a_link_that_looks_before_it_sleeps_finds_frames_and_bells_and_announces_nothing() {
    let Some((mut one, mut two, _)) = pair(1500, vec![Box::new(Rung)]) else {
        return;
    };
    one.spin_for(Duration::from_secs(60));
    one.wait(None).unwrap();
    assert!(one.may_have_rung());
    two.spin_for(Duration::from_secs(60));
    send(&mut one, two.mac(), ETHERTYPE, b"x");
    flush(&mut one);
    assert_eq!(receive(&mut two), b"x");
}

#[test]
fn looking_ends_with_the_timeout_and_with_its_own_time() {
    let Some((mut one, _two, poke)) = pair(1500, Vec::new()) else {
        return;
    };
    one.spin_for(Duration::from_secs(60));
    one.wait(Some(Duration::from_millis(1))).unwrap();
    one.spin_for(Duration::from_millis(1));
    let poker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        poke.poke();
    });
    one.wait(None).unwrap();
    poker.join().unwrap();
}

#[test]
fn ports_take_turns() {
    for mtus in [
        [65_535, 65_535],
        [1500, 65_535],
        [65_535, 1500],
        [1500, 1500],
    ] {
        let pairs = mtus.map(|mtu| FrameSocket::loopback_pair(mtu, ETHERTYPE).unwrap());
        let [(one, first), (two, second)] = pairs;
        let link = RingLink::open_ports(vec![one, two], Poke::new().unwrap(), Vec::new());
        let mut link = match link {
            Err(error @ LinkError::RingRefused(_)) => return println!("skipped: {error}"),
            link => link.unwrap(),
        };
        let mut frame = [0xff; 100];
        frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        for _ in 0..3 {
            nix::unistd::write(first.as_fd(), &frame).unwrap();
            nix::unistd::write(second.as_fd(), &frame).unwrap();
        }
        flush(&mut link);
        flush(&mut link);
        let mut ports = Vec::new();
        while let Some((port, _)) = link.next_frame_from() {
            ports.push(port.0);
        }
        assert_eq!(ports.len(), 6, "{mtus:?}");
        // What the kernel receives by itself lies in the order in which it came.
        if mtus != [1500, 1500] {
            assert!(ports.windows(2).all(|two| two[0] != two[1]), "{ports:?}");
        }
    }
}

#[test]
fn a_poke_that_is_read_while_looking_is_something_to_do() {
    let Some((mut one, _two, poke)) = pair(1500, Vec::new()) else {
        return;
    };
    one.spin_for(Duration::from_millis(1));
    flush(&mut one);
    poke.poke();
    let has_something = one.spin(clock::now(), Some(Duration::from_secs(60)));
    assert!(has_something.unwrap(), "nobody would hear of it");
    assert!(!one.poke.is_armed());
    for _ in 0..3 {
        flush(&mut one);
        poke.poke();
        one.wait(None).unwrap();
    }
}

#[test]
fn the_time_spent_looking_is_taken_off_the_sleep() {
    let Some((mut one, _two, _)) = pair(1500, Vec::new()) else {
        return;
    };
    flush(&mut one);
    let before = one.counters().waits;
    one.spin_for(Duration::from_secs(60));
    one.wait(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(one.counters().waits, before, "nothing was left to sleep");
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

#[test]
fn a_link_is_dropped_with_everything_in_flight() {
    let bell = Arc::new(Bell(AtomicU32::new(0)));
    let Some((mut one, mut two, _)) = pair(1500, vec![Box::new(bell)]) else {
        return;
    };
    one.wait(Some(Duration::from_millis(1))).unwrap();
    flush(&mut two);
    for _ in 0..100 {
        send(&mut two, one.mac(), ETHERTYPE, b"never looked at");
    }
    flush(&mut two);
    assert!(one.quiesce() && two.quiesce());
}
