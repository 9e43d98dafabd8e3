//! Many messages in flight: what holds for one message holds for each of many.

mod apart;
mod batches;
mod pipelines;
mod runs;

use ipc_core::{
    AttachOptions, Channel, MessageBatch, Pipeline, PipelineOptions,
    abi::{Chid, Errno, Pid},
};

use crate::suite::place;

const LEN: usize = 8;

fn pipeline_to(pid: Pid, chid: Chid, options: PipelineOptions) -> Pipeline {
    let attach = AttachOptions {
        slots: options.depth.next_power_of_two(),
        ..AttachOptions::default()
    };
    let connection = place::attach_with(pid, chid, &attach).expect("it lives");
    Pipeline::new(connection, &options).expect("the slots are there")
}

fn pipeline(chid: Chid, depth: u32) -> Pipeline {
    let options = PipelineOptions {
        depth,
        len_max: LEN,
        reply_len_max: LEN,
    };
    pipeline_to(Pid::SELF, chid, options)
}

fn submit(pipeline: &mut Pipeline, number: u64) {
    pipeline
        .submit(&number.to_ne_bytes())
        .expect("there is room");
}

fn submit_all(pipeline: &mut Pipeline, numbers: impl IntoIterator<Item = u64>) {
    numbers
        .into_iter()
        .for_each(|number| submit(pipeline, number));
    pipeline.flush();
}

/// The next reply as a number, or its error.
fn next(pipeline: &mut Pipeline) -> Result<u64, Errno> {
    let answer = pipeline.next(None).expect("something is in flight");
    let mut bytes = [0; LEN];
    let reply = answer.result?;
    assert_eq!(reply.read(0, &mut bytes), reply.reply().len);
    Ok(u64::from_ne_bytes(bytes))
}

fn number(message: &ipc_core::BatchedMessage<'_>) -> Result<u64, Errno> {
    let mut bytes = [0; LEN];
    message.read(0, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn numbers(batch: &MessageBatch) -> Vec<u64> {
    let all = batch.iter();
    all.map(|message| number(&message).expect("its sender waits"))
        .collect()
}

/// Receives messages, at most `max`; a pulse is a mistake.
fn receive(channel: &Channel, max: usize) -> MessageBatch {
    let mut batch = MessageBatch::with_capacity(max);
    assert_eq!(channel.receive_batch(&mut batch), Ok(None));
    batch
}

/// Answers each message with its own number.
fn echo(batch: &mut MessageBatch) -> usize {
    let answered = batch.reply_each(|message, reply| {
        reply.append(&number(message)?.to_ne_bytes());
        Ok(0)
    });
    answered.expect("nothing is negative")
}
