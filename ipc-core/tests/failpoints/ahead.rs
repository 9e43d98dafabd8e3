//! The two sides with many messages in flight: batches, runs, pipelines and completion queues.

use std::{collections::VecDeque, time::Duration};

use ipc_core::{
    AttachOptions, BatchedMessage, Channel, CompletionQueue, Connection, MessageBatch, Pipeline,
    PipelineOptions, Received, ShortMessage, Timeout,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, Pulse, PulseCode, Result},
    sys::failpoint::Failpoint,
};

use crate::{
    child::{self, say},
    peers::is_death,
    serving::{STOP, Serving},
    side::Mortal,
};

/// What is passed one message at a time, and here too.
pub(crate) const PASSED_TOO: [Failpoint; 12] = [
    Failpoint::SendReserved,
    Failpoint::EntryWritten,
    Failpoint::EntryPublished,
    Failpoint::SendAnswered,
    Failpoint::CancelSent,
    Failpoint::PulseSent,
    Failpoint::Drained,
    Failpoint::Received,
    Failpoint::PulseReceived,
    Failpoint::ReplyTaken,
    Failpoint::ReplyWritten,
    Failpoint::ReplyPublished,
];

/// How a message is to be answered, by its first byte: as one of a batch, or taken out and together with others.
const EACH: u8 = b'e';
const TOGETHER: u8 = b't';
/// Not before its client wants out.
const HELD: u8 = b'h';

/// Messages of a run, fewer than there are slots.
const RUN: usize = 12;
const SLOTS: u32 = 16;
/// Bytes of a message and of a reply that travel through the arena.
const LONG: usize = 5000;

const FLAGS: ChannelFlags = ChannelFlags::DISCONNECT.union(ChannelFlags::UNBLOCK);

/// A server that lives.
pub(crate) struct Server(Serving);

impl Server {
    pub(crate) fn start() -> Server {
        Server(Serving::run(FLAGS, serve))
    }

    pub(crate) fn must_serve(&self) {
        do_everything(Pid::SELF, self.0.chid()).expect("it lives");
    }

    pub(crate) fn chid(&self) -> Chid {
        self.0.chid()
    }
}

/// Answers as each message says, until it is told to stop.
fn serve(channel: &Channel) {
    let mut batch = MessageBatch::with_capacity(RUN);
    loop {
        match channel.receive_batch(&mut batch).expect("it lives") {
            Some(pulse) if pulse.code == STOP => return,
            Some(pulse) => heed(channel, &pulse),
            None if batch.iter().any(|message| kind(&message) == HELD) => hold(channel, &mut batch),
            None if batch.iter().any(|message| kind(&message) == TOGETHER) => {
                answer_together(channel, &mut batch);
            }
            None => answer_each(&mut batch),
        }
    }
}

fn kind(message: &BatchedMessage<'_>) -> u8 {
    let mut first = [0];
    match message.read(0, &mut first) {
        Ok(1) => first[0],
        // Its client has gone.
        _ => EACH,
    }
}

fn heed(channel: &Channel, pulse: &Pulse) {
    if pulse.code == PulseCode::DISCONNECT {
        channel.detach_client(pulse.scoid).expect("it is gone");
    }
}

fn answer_each(batch: &mut MessageBatch) {
    let answered = batch.reply_each(|message, reply| {
        let mut bytes = vec![0; message.len()];
        message.read(0, &mut bytes)?;
        reply.append(&bytes);
        Ok(1)
    });
    answered.expect("no status is negative");
}

/// Answers them and what else is there, without bytes.
fn answer_together(channel: &Channel, batch: &mut MessageBatch) {
    let mut messages = batch.take_messages();
    let mut more = Vec::new();
    channel.try_receive_many(RUN, &mut more).expect("it lives");
    for received in more {
        match received {
            Received::Message(message) => messages.push(message),
            Received::Pulse(pulse) => heed(channel, &pulse),
        }
    }
    let mut answers = messages.into_iter().zip(std::iter::repeat(1)).collect();
    let mut wakes = Vec::new();
    let told = channel.reply_all_quietly(&mut answers, &mut wakes);
    told.expect("they are this channel's");
    for wake in wakes {
        wake.make();
    }
}

/// Answers a batch once one of its clients wants out, or all of them have gone.
fn hold(channel: &Channel, batch: &mut MessageBatch) {
    while batch.iter().any(|message| message.read(0, &mut []).is_ok()) {
        let pulse = channel.receive_pulse().expect("it lives");
        heed(channel, &pulse);
        if pulse.code == PulseCode::UNBLOCK {
            break;
        }
    }
    let answered = batch.reply_each(|_, _| Err(Errno::ECANCELED));
    answered.expect("no status is negative");
}

/// All that can be done with many messages in flight.
fn do_everything(pid: Pid, chid: Chid) -> Result<()> {
    queue(pid, chid)?;
    pipeline(pid, chid)
}

fn options() -> AttachOptions<'static> {
    AttachOptions {
        slots: SLOTS,
        ..AttachOptions::default()
    }
}

/// Runs of short messages, long ones in loans, and one that is given up.
fn queue(pid: Pid, chid: Chid) -> Result<()> {
    let queue = CompletionQueue::new()?;
    let options = AttachOptions {
        queue: Some(&queue),
        ..options()
    };
    let connection = Connection::attach_with(Nd::LOCAL, pid, chid, &options)?;
    for kind in [EACH, TOGETHER] {
        let bytes = [kind; 8];
        let run = (0..RUN as u64).map(|token| ShortMessage {
            bytes: &bytes,
            reply_len: 8,
            token,
        });
        assert_eq!(connection.enqueue_run(run)?, RUN);
        connection.flush();
        take(&queue, RUN)?;
    }
    for token in 0..4 {
        let mut loan = connection.loan(LONG, LONG)?;
        loan.write(0, &[EACH; LONG]);
        connection.submit(loan, token)?;
    }
    take(&queue, 4)?;
    connection.submit(connection.loan(8, 8)?, 0)?;
    connection.unblock(0)?;
    // Before it was received or afterwards, or it was answered meanwhile.
    match take(&queue, 1) {
        Ok(()) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    // As part of a batch, for sure: the time begins when it is received. The server has the last word.
    let soon = Timeout::reply(Duration::from_millis(5));
    match connection.send_timeout(&[HELD], &mut [], soon) {
        Err(Errno::ECANCELED) => Ok(()),
        other => other.map(drop),
    }
}

/// Takes so many answers; the first error among them is the outcome.
fn take(queue: &CompletionQueue, count: usize) -> Result<()> {
    let mut answers = VecDeque::new();
    while answers.len() < count {
        answers.push_back(queue.next(None)?);
        queue.take_all(&mut answers);
    }
    let mut results = answers.into_iter().map(|answer| answer.result);
    results.try_for_each(|result| result.map(drop))
}

fn pipeline(pid: Pid, chid: Chid) -> Result<()> {
    let connection = Connection::attach_with(Nd::LOCAL, pid, chid, &options())?;
    let options = PipelineOptions {
        depth: SLOTS,
        len_max: 8,
        reply_len_max: 8,
    };
    let mut pipeline = Pipeline::new(connection, &options)?;
    for _ in 0..RUN {
        pipeline.submit(&[EACH; 8])?;
    }
    pipeline.send_pulse(None, PulseCode(5), 0)?;
    while pipeline.in_flight() > 0 {
        let mut reply = [0; 8];
        pipeline.next(None)?.result?.read(0, &mut reply);
        assert_eq!(reply, [EACH; 8]);
    }
    Ok(())
}

#[test]
#[ignore = "run by inside_a_survivor, to die"]
fn inside_a_client() {
    let chid = Chid(child::argument().parse().expect("a number"));
    for _ in 0..2 {
        do_everything(child::parent(), chid).expect("the server lives");
    }
}

/// Uses a server until it has died or ended; nothing but its end may come in between.
pub(crate) fn use_until_it_dies(server: &mut Mortal) {
    let Some(chid) = server.said() else {
        return;
    };
    let chid = Chid(chid.parse().expect("a channel id"));
    let pid = server.pid();
    let used = (0..2)
        .try_for_each(|_| do_everything(pid, chid))
        .and_then(|()| {
            // It was not killed so far: its own end comes when it is told.
            Connection::attach(Nd::LOCAL, pid, chid)?.send_pulse(None, STOP, 0)
        });
    assert!(used.is_ok() || used.is_err_and(is_death), "{used:?}");
}

#[test]
#[ignore = "run by inside_a_survivor, to die"]
fn inside_a_server() {
    let channel = Channel::create(FLAGS).expect("a channel can be made");
    say(channel.chid());
    serve(&channel);
    drop(channel);
}
