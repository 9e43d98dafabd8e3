//! A pipeline and batches: one thread keeps a thousand messages in flight, the server takes and answers
//! what is there at once. What a message costs this way, and one by one, is said beside the output.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example pipeline
//! 100000 numbers doubled, one by one: sum 9999900000
//! 100000 numbers doubled, 1024 in flight: sum 9999900000
//! ```

use std::{thread, time::Instant};

use ipc_core::{
    AttachOptions, Channel, Connection, MessageBatch, Pipeline, PipelineOptions,
    abi::{ChannelFlags, Chid, Nd, Pid, Result},
};

/// Messages in flight at once. Deep pipelines are fast ones: neither side waits for the other's cache
/// lines as long as it has others at hand.
const DEPTH: u32 = 1024;

/// Messages that the server takes at once, and that the client sends before it looks for replies.
const BATCH: usize = 128;

/// Numbers that are doubled each way.
const NUMBERS: u64 = 100_000;

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();
    thread::spawn(move || serve(&channel));
    let sum = timed(|| send_one_by_one(chid))?;
    println!("{NUMBERS} numbers doubled, one by one: sum {sum}");
    let sum = timed(|| send_pipelined(chid))?;
    println!("{NUMBERS} numbers doubled, {DEPTH} in flight: sum {sum}");
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

fn send_one_by_one(chid: Chid) -> Result<u64> {
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
    let mut sum = 0;
    for number in 0..NUMBERS {
        let mut twice = [0; 8];
        connection.send(&number.to_ne_bytes(), &mut twice)?;
        sum += u64::from_ne_bytes(twice);
    }
    Ok(sum)
}

fn send_pipelined(chid: Chid) -> Result<u64> {
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
    let (mut sent, mut sum) = (0, 0);
    while sent < NUMBERS || pipeline.in_flight() > 0 {
        let room = (pipeline.depth() - pipeline.in_flight()).min(BATCH) as u64;
        let until = NUMBERS.min(sent + room);
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
            let mut twice = [0; 8];
            answer.result?.read(0, &mut twice);
            sum += u64::from_ne_bytes(twice);
        }
    }
    Ok(sum)
}

/// Says on standard error what each number took.
fn timed(work: impl FnOnce() -> Result<u64>) -> Result<u64> {
    let start = Instant::now();
    let sum = work()?;
    eprintln!("{:?} each", start.elapsed() / NUMBERS as u32);
    Ok(sum)
}
