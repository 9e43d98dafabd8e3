//! What a message costs inside one process: ring, slot and table without a wake-up across processes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ipc_core::abi::{ChannelFlags, Nd, Pid};
use ipc_core::{AttachOptions, Channel, CompletionQueue, Connection, Received};

const LEN: usize = 64;

/// One thread plays both sides, so that nobody ever sleeps and what is timed is instructions.
fn submit_receive_reply(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    ipc_core::set_runtime_dir(dir.path().to_path_buf());
    let channel = Channel::create(ChannelFlags::empty()).expect("a channel");
    let queue = CompletionQueue::new().expect("a queue");
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connection = Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options)
        .expect("a connection to the own process");
    criterion.bench_function("channel: submit, receive, reply, collect", |bencher| {
        bencher.iter(|| {
            let mut loan = connection.loan(LEN, LEN).expect("a free slot");
            loan.write(0, black_box(&[7; LEN]));
            connection.submit(loan, 1).expect("a live connection");
            match channel.receive_timeout(Duration::ZERO).expect("a message") {
                Received::Message(message) => message.reply(0, &[8; LEN]).expect("a client"),
                Received::Pulse(_) => unreachable!("nobody sends pulses here"),
            }
            black_box(queue.try_next().expect("a completion"));
        });
    });
}

criterion_group!(benches, submit_receive_reply);
criterion_main!(benches);
