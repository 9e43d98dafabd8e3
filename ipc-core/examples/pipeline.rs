//! Many messages in flight from one thread: `cargo run --release --example pipeline [messages]`.
//!
//! The server doubles numbers. The client first sends one message after the other, then the same ones
//! through a pipeline, and says what a message costs each way. No daemon is needed.

use std::{
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    AttachOptions, Channel, Connection, MessageBatch, Pipeline, PipelineOptions,
    abi::{ChannelFlags, Chid, Nd, Pid, Result},
};

/// Messages in flight at once. Deep pipelines are fast ones: neither side waits for the other's cache
/// lines as long as it has others at hand.
const DEPTH: u32 = 1024;

/// Messages that the server takes at once, and that the client sends before it looks for replies.
const BATCH: usize = 128;

fn main() -> Result<()> {
    let messages = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let messages = messages.unwrap_or(100_000);
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();
    thread::spawn(move || serve(&channel));
    let one_by_one = timed(|| send_one_by_one(chid, messages))?;
    let pipelined = timed(|| send_pipelined(chid, messages))?;
    for (how, time) in [("one by one", one_by_one), ("pipelined", pipelined)] {
        let each_ns = time.as_nanos() / u128::from(messages.max(1));
        println!("{messages} messages {how}: {each_ns} ns each");
    }
    Ok(())
}

/// Takes whatever messages there are, answers all of them, and starts again.
fn serve(channel: &Channel) -> Result<()> {
    let mut batch = MessageBatch::with_capacity(BATCH);
    loop {
        if let Some(pulse) = channel.receive_batch(&mut batch)? {
            println!("a pulse: {pulse:?}");
        }
        batch.reply_each(|message, reply| {
            let mut number = [0; 8];
            message.read(0, &mut number)?;
            reply.append(&(2 * u64::from_ne_bytes(number)).to_ne_bytes());
            Ok(0)
        })?;
    }
}

fn send_one_by_one(chid: Chid, messages: u64) -> Result<()> {
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
    for number in 0..messages {
        let mut twice = [0; 8];
        connection.send(&number.to_ne_bytes(), &mut twice)?;
        assert_eq!(u64::from_ne_bytes(twice), 2 * number);
    }
    Ok(())
}

fn send_pipelined(chid: Chid, messages: u64) -> Result<()> {
    let attach = AttachOptions {
        slots: DEPTH,
        ..AttachOptions::default()
    };
    let options = PipelineOptions {
        depth: DEPTH,
        len_max: 8,
        reply_len_max: 8,
    };
    let connection = Connection::attach_with(Nd::LOCAL, Pid::SELF, chid, &attach)?;
    let mut pipeline = Pipeline::new(connection, &options)?;
    let (mut sent, mut answered) = (0_u64, 0);
    while answered < messages {
        let room = (pipeline.depth() - pipeline.in_flight()).min(BATCH) as u64;
        let until = messages.min(sent + room);
        for number in sent..until {
            pipeline.submit(&number.to_ne_bytes())?;
        }
        sent = until;
        // Flushes, and waits for the oldest message's answer.
        pipeline.wait(None)?;
        for _ in 0..BATCH {
            let Some(answer) = pipeline.try_next() else {
                break;
            };
            let (number, mut twice) = (answer.number, [0; 8]);
            answer.result?.read(0, &mut twice);
            assert_eq!(u64::from_ne_bytes(twice), 2 * number);
            answered += 1;
        }
    }
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work().map(|()| start.elapsed())
}
