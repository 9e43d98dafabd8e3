//! Clients of servers that keep no promise: an errno within the client's own time, no byte beyond its buffers, and
//! its other connections do not notice.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    AttachOptions, CompletionQueue, Connection, Timeout,
    abi::{Chid, Errno, Nd, Pid, Result},
};

use crate::{
    child::{self, Child},
    evil_server::UNWANTED_LEN,
    floods::Stop,
    raw::{ARENA_LEN, SLOTS},
    server::{Server, must_echo},
};

pub(crate) const SOON: Duration = Duration::from_millis(30);

/// For answers that come, however busy the machine is.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// Has `act` deal with a wicked server while another connection of this process is served.
pub(crate) fn beside_an_honest_one(how: &str, act: impl FnOnce(Pid)) {
    let server = Server::start();
    let honest = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    let mut wicked = Child::start("evil_server::inside_a_hostile_server", how);
    assert_eq!(wicked.said(), "listening");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                must_echo(&honest, 3);
            }
        });
        let _at_end = Stop(&stop);
        act(wicked.pid());
    });
    wicked.kill();
}

pub(crate) fn attach(pid: Pid, queue: Option<&CompletionQueue>) -> Result<Connection> {
    let options = AttachOptions {
        slots: SLOTS,
        arena_len: ARENA_LEN,
        queue,
        ..AttachOptions::default()
    };
    Connection::attach_with(Nd::LOCAL, pid, Chid(1), &options)
}

/// Sends short and long messages for a while; what comes back stays inside the reply buffers.
fn send_all_kinds(connection: &Connection, patience: Duration) -> Vec<Errno> {
    let mut errors = Vec::new();
    for len in [0, 10, 90, 3000] {
        let mut reply = vec![0xaa; len + 64];
        let (inside, beyond) = reply.split_at_mut(len);
        let answer = connection.send_timeout(&vec![1; len], inside, Timeout::all(patience));
        match answer {
            Ok(answer) => assert!(answer.len <= len, "more than there is room for"),
            Err(error) => errors.push(error),
        }
        assert!(
            beyond.iter().all(|byte| *byte == 0xaa),
            "a byte beyond the buffer"
        );
    }
    errors
}

#[test]
fn an_attach_that_is_answered_badly_is_an_errno() {
    let ways = [
        ("hangs up", vec![Errno::ESRCH]),
        ("gives a pipe", vec![Errno::EINVAL]),
        ("gives an unsealed file", vec![Errno::EINVAL]),
        ("gives a short file", vec![Errno::EINVAL]),
        ("gives nothing", vec![Errno::EPROTO]),
        ("gives too much", vec![Errno::EMSGSIZE]),
        ("names a bit beyond", vec![Errno::EPROTO]),
        ("answers in halves", vec![Errno::EPROTO]),
        ("answers at length", vec![Errno::EMSGSIZE]),
    ];
    for (how, errors) in ways {
        beside_an_honest_one(how, |pid| {
            let error = attach(pid, None)
                .map(drop)
                .expect_err("it is no good answer");
            assert!(errors.contains(&error), "{how}: {error:?}");
        });
    }
}

#[test]
fn an_attach_that_is_never_answered_ends_by_itself() {
    beside_an_honest_one("never answers an attach", |pid| {
        assert_eq!(attach(pid, None).map(drop), Err(Errno::ETIMEDOUT));
    });
}

#[test]
fn messages_to_a_server_that_never_answers_end_with_their_timeouts() {
    beside_an_honest_one("never answers", |pid| {
        let connection = attach(pid, None).expect("it is answered");
        // As many as there are slots are lost with it; after that there is none to be had.
        for _ in 0..2 {
            for error in send_all_kinds(&connection, SOON) {
                assert_eq!(error, Errno::ETIMEDOUT);
            }
        }
        connection.detach();
        assert_eq!(connection.send(b"", &mut []), Err(Errno::EBADF));
    });
}

#[test]
fn replies_longer_than_asked_for_are_cut() {
    beside_an_honest_one("claims longer replies", |pid| {
        let connection = attach(pid, None).expect("it is answered");
        for _ in 0..50 {
            assert_eq!(send_all_kinds(&connection, PATIENT), []);
        }
    });
}

#[test]
fn answers_to_other_messages_are_none() {
    beside_an_honest_one("answers other generations", |pid| {
        let connection = attach(pid, None).expect("it is answered");
        let outcome = connection.send_timeout(b"x", &mut [0; 4], Timeout::all(SOON));
        assert_eq!(outcome, Err(Errno::ETIMEDOUT));
    });
}

#[test]
fn a_server_that_scribbles_or_swaps_states_holds_nobody_for_longer_than_a_timeout() {
    for how in ["scribbles", "swaps states"] {
        beside_an_honest_one(how, |pid| {
            for _ in 0..4 {
                let connection = attach(pid, None).expect("it is answered");
                for error in send_all_kinds(&connection, SOON) {
                    // Scribbled answers may be any error; what counts is that there is one.
                    assert_ne!(error.0, 0);
                }
                let _ = connection.send_pulse(None, ipc_core::abi::PulseCode(1), 0);
            }
        });
    }
}

#[test]
fn a_blocked_sender_leaves_when_a_scribbling_server_dies() {
    let mut wicked = Child::start("evil_server::inside_a_hostile_server", "swaps states");
    assert_eq!(wicked.said(), "listening");
    let connection = attach(wicked.pid(), None).expect("it is answered");
    thread::scope(|scope| {
        let blocked = scope.spawn(|| connection.send(b"x", &mut []));
        thread::sleep(SOON);
        wicked.kill();
        let error = blocked
            .join()
            .expect("no panic")
            .expect_err("nobody answers");
        assert!([Errno::ESRCH, Errno::EBADF].contains(&error), "{error:?}");
    });
}

#[test]
fn bells_that_ring_for_nothing_bring_nothing() {
    beside_an_honest_one("rings for nothing", |pid| {
        let queue = CompletionQueue::new().expect("it can be made");
        let connection = attach(pid, Some(&queue)).expect("it is answered");
        let loan = connection.loan(1, 0).expect("there is room");
        connection.submit(loan, 7).expect("it is live");
        assert_eq!(queue.next(Some(SOON)).map(drop), Err(Errno::ETIMEDOUT));
        connection.detach();
        let lost = queue
            .next(None)
            .expect("a message ends with its connection");
        assert_eq!(lost.token, 7);
    });
}

#[test]
fn a_server_that_says_what_no_server_says_is_left() {
    for how in [
        "sends records",
        "sends descriptors",
        "says the connection ended",
    ] {
        beside_an_honest_one(how, |pid| {
            let connection = attach(pid, None).expect("it is answered");
            let error = connection.send(b"x", &mut []).expect_err("nobody answers");
            assert!(
                [Errno::ESRCH, Errno::EBADF].contains(&error),
                "{how}: {error:?}"
            );
            assert!(!connection.is_alive());
        });
    }
    let still_open = || {
        let open = fs::read_dir("/proc/self/fd")
            .expect("it is mounted")
            .flatten();
        let files = open.filter_map(|entry| fs::metadata(entry.path()).ok());
        files
            .filter(|file| file.len() == UNWANTED_LEN as u64)
            .count()
    };
    // They are closed a moment after the connection ended.
    while still_open() > 0 {
        thread::yield_now();
    }
}

#[test]
fn what_is_to_be_done_at_the_end_may_take_a_lock_that_a_sender_holds() {
    beside_an_honest_one("says the connection ended", |pid| {
        let connection = attach(pid, None).expect("it is answered");
        let (tell, told) = mpsc::channel();
        let lock = Arc::new(Mutex::new(()));
        let same = Arc::clone(&lock);
        connection.on_end(Box::new(move || {
            drop(same.lock());
            // Nobody listens any more if it came too late.
            let _ = tell.send(());
        }));
        thread::spawn(move || {
            let held = lock.lock();
            let sent = connection.send(b"x", &mut []);
            drop(held);
            sent
        });
        told.recv_timeout(PATIENT).expect("the end is told");
    });
}

#[test]
fn connections_that_a_server_ended_leave_nothing_behind() {
    child::run_alone("victim::ended_by_the_server");
}

#[test]
#[ignore = "run by connections_that_a_server_ended_leave_nothing_behind"]
fn ended_by_the_server() {
    beside_an_honest_one("says the connection ended", |pid| {
        let end_one = |queue| {
            let connection = attach(pid, queue).expect("it is answered");
            let error = connection.send(b"x", &mut []).expect_err("nobody answers");
            assert!([Errno::ESRCH, Errno::EBADF].contains(&error), "{error:?}");
        };
        let queue = CompletionQueue::new().expect("it can be made");
        let before = descriptors();
        for _ in 0..50 {
            end_one(None);
            end_one(Some(&queue));
        }
        // The server keeps its ends open until it sees ours closed, and they are closed by the monitor.
        let end = Instant::now() + PATIENT;
        while descriptors() > before {
            assert!(
                Instant::now() < end,
                "{} instead of {before}",
                descriptors()
            );
            thread::sleep(Duration::from_millis(1));
        }
    });
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("it is mounted")
        .count()
}
