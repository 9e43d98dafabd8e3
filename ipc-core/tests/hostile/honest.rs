//! The honest clients beside an attacker, one of each kind: what one sends and waits for, what a pipeline keeps in
//! flight, what comes out of a completion queue.

use ipc_core::{
    AttachOptions, CompletionQueue, Connection, Pipeline, PipelineOptions,
    abi::{Nd, Pid},
};

use crate::server::{Server, must_echo};

/// What only honest clients say; no other client may ever find it in its memory.
pub(crate) const SECRET: &[u8] = b"nobody else may ever read these bytes";

/// Messages that the pipeline, and the queue's connection, have in flight at once.
const AHEAD: u32 = 16;

/// Bytes of the longest message.
const LEN_MAX: usize = 1000;

pub(crate) struct Honest {
    connection: Connection,
    pipeline: Pipeline,
    queue: CompletionQueue,
    queued: Connection,
}

impl Honest {
    pub(crate) fn attach(server: &Server) -> Honest {
        let attach = |queue| {
            let options = AttachOptions {
                slots: AHEAD,
                queue,
                ..AttachOptions::default()
            };
            Connection::attach_with(Nd::LOCAL, Pid::SELF, server.chid(), &options)
                .expect("the server accepts")
        };
        let queue = CompletionQueue::new().expect("a queue can be made");
        let options = PipelineOptions {
            depth: AHEAD,
            len_max: LEN_MAX,
            reply_len_max: LEN_MAX,
        };
        Honest {
            connection: attach(None),
            pipeline: Pipeline::new(attach(None), &options).expect("the slots are there"),
            queued: attach(Some(&queue)),
            queue,
        }
    }

    /// Every message is answered once, with its own bytes.
    pub(crate) fn must_be_served(&mut self, salt: u8) {
        must_echo(&self.connection, salt);
        let mut reply = [0; SECRET.len()];
        let answer = self.connection.send(SECRET, &mut reply);
        answer.expect("it is answered");
        assert_eq!(reply, SECRET);
        self.must_echo_ahead(salt);
        self.must_echo_through_the_queue(salt);
    }

    fn must_echo_ahead(&mut self, salt: u8) {
        for number in 0..AHEAD {
            let message = message(number, salt);
            self.pipeline.submit(&message).expect("there is room");
        }
        for number in 0..AHEAD {
            let answer = self.pipeline.next(None).expect("it is in flight");
            let reply = answer.result.expect("it is answered");
            let expected = message(number, salt);
            let mut bytes = vec![0; expected.len()];
            assert_eq!(reply.reply().status, expected.len() as i64);
            reply.read(0, &mut bytes);
            assert!(bytes == expected, "an honest pipeline's bytes were changed");
        }
    }

    fn must_echo_through_the_queue(&mut self, salt: u8) {
        for number in 0..AHEAD {
            let message = message(number, salt);
            let len = message.len();
            let mut loan = self.queued.loan(len, len).expect("there is room");
            loan.write(0, &message);
            self.queued.submit(loan, number.into()).expect("it lives");
        }
        let mut missing: Vec<u32> = (0..AHEAD).collect();
        while !missing.is_empty() {
            let completion = self.queue.next(None).expect("no signal comes");
            let number = completion.token as u32;
            let reply = completion.result.expect("it is answered");
            let expected = message(number, salt);
            let mut bytes = vec![0; expected.len()];
            assert_eq!(reply.read(0, &mut bytes), expected.len());
            assert!(bytes == expected, "a queue's bytes were changed");
            let at = missing.iter().position(|other| *other == number);
            missing.swap_remove(at.expect("each comes once"));
        }
    }
}

/// Inside entries and outside of them; always with the secret's beginning.
fn message(number: u32, salt: u8) -> Vec<u8> {
    let len = [SECRET.len(), 80, 81, LEN_MAX][number as usize % 4];
    let rest = (SECRET.len()..len).map(|at| at as u8 ^ number as u8 ^ salt);
    SECRET.iter().copied().chain(rest).collect()
}
