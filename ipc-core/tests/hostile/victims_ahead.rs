//! Clients with many messages in flight, pipelines and completion queues, of servers that keep no promise.

use std::time::Duration;

use ipc_core::{
    AttachOptions, CompletionQueue, Connection, Pipeline, PipelineOptions, Timeout,
    abi::{Errno, Pid, PulseCode},
};

use crate::{
    child::Child,
    raw::SLOTS,
    victim::{PATIENT, SOON, attach, beside_an_honest_one},
};

/// Bytes of a message that does not fit its entry; four and their replies fill the arena.
const LONG: usize = 900;

/// A pipeline to a server, unless that has ended the connection already.
fn pipeline(pid: Pid, len: usize) -> Result<Pipeline, Errno> {
    let options = PipelineOptions {
        depth: SLOTS,
        len_max: len,
        reply_len_max: len,
    };
    let connection = attach(pid, None).expect("it is answered");
    let made = Pipeline::new(connection, &options);
    assert!(matches!(made, Ok(_) | Err(Errno::EBADF)), "{made:?}");
    made
}

/// Fills the pipeline and takes what comes, again and again until something takes too long; no reply is longer than
/// asked for. Answers the errors of the answers.
fn drive(pipeline: &mut Pipeline, len: usize, patience: Duration) -> Vec<Errno> {
    let mut errors = Vec::new();
    for _ in 0..20 {
        while pipeline.in_flight() < pipeline.depth() {
            match pipeline.submit(&vec![1; len]) {
                Ok(_) => {}
                // The connection has ended.
                Err(error) => return [errors, vec![error]].concat(),
            }
        }
        while pipeline.in_flight() > 0 {
            let answer = match pipeline.next(Some(patience)) {
                Ok(answer) => answer,
                Err(error) => return [errors, vec![error]].concat(),
            };
            match answer.result {
                Ok(reply) => {
                    let mut bytes = vec![0xaa; len + 64];
                    assert!(reply.reply().len <= len, "more than there is room for");
                    assert!(reply.read(0, &mut bytes) <= len);
                    assert!(bytes[len..].iter().all(|byte| *byte == 0xaa));
                    reply.read(len + 1, &mut bytes);
                    reply.read(usize::MAX, &mut bytes);
                }
                Err(error) => errors.push(error),
            }
        }
    }
    errors
}

/// Has a pipeline of short and one of long messages deal with a server, and then go on as connections.
fn drive_each(how: &str, patience: Duration, expect: impl Fn(&[Errno])) {
    for len in [8, LONG] {
        beside_an_honest_one(how, |pid| {
            let mut pipeline = match pipeline(pid, len) {
                Ok(pipeline) => pipeline,
                Err(error) => return expect(&[error]),
            };
            expect(&drive(&mut pipeline, len, patience));
            let _ = pipeline.unblock(0);
            let _ = pipeline.send_pulse(None, PulseCode(1), 0);
            let connection = pipeline.into_connection();
            let sent = connection.send_timeout(b"x", &mut [0; 8], Timeout::all(SOON));
            if let Err(error) = sent {
                assert_ne!(error.0, 0);
            }
        });
    }
}

#[test]
fn replies_to_a_pipeline_that_are_longer_than_asked_for_are_cut() {
    drive_each("claims longer replies", PATIENT, |errors| {
        assert_eq!(errors, []);
    });
}

#[test]
fn a_pipeline_whose_server_never_answers_ends_with_its_timeouts() {
    for how in ["never answers", "answers other generations"] {
        drive_each(how, SOON, |errors| assert_eq!(errors, [Errno::ETIMEDOUT]));
    }
}

#[test]
fn a_pipeline_whose_server_scribbles_is_held_for_no_longer_than_its_timeouts() {
    // Scribbled answers may be any error; what counts is that the pipeline comes to an end.
    for how in ["scribbles", "swaps states", "answers ahead"] {
        drive_each(how, SOON, |errors| {
            assert!(errors.iter().all(|error| error.0 != 0));
        });
    }
}

#[test]
fn a_pipeline_whose_server_says_what_no_server_says_is_left() {
    for how in [
        "sends records",
        "sends descriptors",
        "says the connection ended",
    ] {
        drive_each(how, PATIENT, |errors| {
            let last = errors.last().copied();
            assert_eq!(last, Some(Errno::EBADF), "{how}");
        });
    }
}

#[test]
fn a_pipeline_that_waits_leaves_when_a_scribbling_server_dies() {
    let mut wicked = Child::start("evil_server::inside_a_hostile_server", "swaps states");
    assert_eq!(wicked.said(), "listening");
    let mut pipeline = pipeline(wicked.pid(), 8).expect("it does not hang up");
    pipeline.submit(b"x").expect("there is room");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let answer = pipeline.next(None).expect("no signal comes");
            answer.result.map(drop)
        });
        std::thread::sleep(SOON);
        wicked.kill();
        let outcome = waits.join().expect("no panic");
        assert_eq!(outcome, Err(Errno::ESRCH));
    });
}

/// What comes out of a queue of one connection to a server, until nothing does or the time is over.
fn drive_queue(queue: &CompletionQueue, connection: &Connection, len: usize) {
    for round in 0..20 {
        for token in 0..u64::from(SLOTS) {
            let Ok(mut loan) = connection.loan(len, len) else {
                break;
            };
            loan.write(0, &vec![1; len]);
            if connection.submit(loan, round * 100 + token).is_err() {
                break;
            }
        }
        while let Ok(completion) = queue.next(Some(SOON / 4)) {
            if let Ok(reply) = completion.result {
                let mut bytes = vec![0xaa; len + 64];
                assert!(reply.read(0, &mut bytes) <= len);
                assert!(bytes[len..].iter().all(|byte| *byte == 0xaa));
            }
        }
    }
}

#[test]
fn a_queue_is_held_by_no_server_for_longer_than_its_timeouts() {
    for how in [
        "claims longer replies",
        "answers other generations",
        "scribbles",
        "swaps states",
        "answers ahead",
        "rings for nothing",
        "says all are answered",
        "says the connection ended",
    ] {
        for len in [8, LONG] {
            beside_an_honest_one(how, |pid| {
                let queue = CompletionQueue::new().expect("it can be made");
                let connection = attach(pid, Some(&queue)).expect("it is answered");
                drive_queue(&queue, &connection, len);
                connection.detach();
                // What is left comes out at once, and no token twice.
                let mut left = Vec::new();
                while let Some(completion) = queue.try_next() {
                    left.push(completion.token);
                }
                let all = left.len();
                left.sort_unstable();
                left.dedup();
                assert_eq!(left.len(), all);
            });
        }
    }
}

#[test]
fn a_queue_of_two_servers_serves_the_honest_one_beside_a_wicked_one() {
    beside_an_honest_one("rings for nothing", |pid| {
        let server = crate::server::Server::start();
        let queue = CompletionQueue::new().expect("it can be made");
        let wicked = attach(pid, Some(&queue)).expect("it is answered");
        let options = AttachOptions {
            queue: Some(&queue),
            ..AttachOptions::default()
        };
        let honest =
            Connection::attach_with(ipc_core::abi::Nd::LOCAL, Pid::SELF, server.chid(), &options)
                .expect("it accepts");
        let lost = wicked.loan(1, 0).expect("there is room");
        wicked.submit(lost, 1000).expect("it lives");
        for token in 0..50 {
            let mut loan = honest.loan(LONG, LONG).expect("there is room");
            loan.write(0, &[token as u8; LONG]);
            honest.submit(loan, token).expect("it lives");
            // The doorbell is shared with the wicked one, which is of the same user: it may take a wake-up, and
            // then a look in time finds the answer.
            let completion = loop {
                match queue.next(Some(SOON)) {
                    Ok(completion) => break completion,
                    Err(error) => assert_eq!(error, Errno::ETIMEDOUT),
                }
            };
            assert_eq!(completion.token, token);
            let mut bytes = [0; LONG];
            let reply = completion.result.expect("it is answered");
            assert_eq!(
                (reply.read(0, &mut bytes), bytes),
                (LONG, [token as u8; LONG])
            );
        }
    });
}
