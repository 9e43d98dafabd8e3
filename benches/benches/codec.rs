//! The frame codec: writing and reading frames of one message and of a bundle of small ones.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qnet_proto::Mac;
use qnet_proto::wire::{Frame, FrameBuilder, Header, MessageHead, Record};

const ETHERTYPE: u16 = 0x88B5;
const MTU: usize = 1500;
const MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])];

/// Writes a frame of as many messages of `len` bytes as fit, at most `count`; answers its length.
fn write(frame: &mut [u8], count: u64, len: usize) -> usize {
    let mut builder = FrameBuilder::new(frame, MTU);
    for call in 0..count {
        let head = MessageHead {
            call,
            conn: 1,
            len: len as u32,
            reply_len: 0,
            tid: 1,
            priority: 10,
            reports: false,
            pulses: 0,
        };
        match head.emit(&mut builder, None, len) {
            Some(room) => room.fill(call as u8),
            None => break,
        }
    }
    let header = Header {
        packet: 1,
        session: 2,
        ..Header::default()
    };
    builder.finish(MACS[0], MACS[1], ETHERTYPE, &header)
}

/// Reads every record of a frame; answers how many message bytes it carries.
fn read(frame: &[u8]) -> usize {
    let frame = Frame::parse(frame, ETHERTYPE, false).expect("written by this file");
    let records = frame.records().map(|record| match record {
        Ok(Record::Message { bytes, .. }) => bytes.len(),
        _ => 0,
    });
    records.sum()
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for (name, count, len) in [
        ("one message of 64 bytes", 1, 64),
        ("a bundle of 64-byte messages", u64::MAX, 64),
        ("a full frame", 1, 1300),
    ] {
        let mut frame = [0; MTU + 14];
        let frame_len = write(&mut frame, count, len);
        let payload_len = read(&frame[..frame_len]);
        assert!(payload_len >= len, "what is measured is right");
        group.throughput(Throughput::Bytes(payload_len as u64));
        group.bench_function(format!("write {name}"), |bencher| {
            let mut frame = [0; MTU + 14];
            bencher.iter(|| black_box(write(black_box(&mut frame), count, len)));
        });
        group.bench_function(format!("read {name}"), |bencher| {
            bencher.iter(|| black_box(read(black_box(&frame[..frame_len]))));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
