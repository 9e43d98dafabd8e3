//! The shared-memory layer's instructions: ring, slot, claim and arena, both sides in one thread.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ipc_core::internals::Both;

/// What fits both an entry and a slot beside their headers.
const INLINE_LEN: usize = 64;

fn shm(criterion: &mut Criterion) {
    let mut both = Both::new().expect("shared memory");
    let mut group = criterion.benchmark_group("shm");
    let mut into = [0; INLINE_LEN];
    group.bench_function("ring: post and take 64 bytes", |bencher| {
        bencher.iter(|| {
            let len = both.post_and_take(black_box(&[7; INLINE_LEN]), &mut into);
            assert_eq!(len, Ok(INLINE_LEN));
        });
    });
    group.bench_function("slot: answer and take 64 bytes", |bencher| {
        bencher.iter(|| {
            let len = both.answer_and_take(black_box(&[8; INLINE_LEN]), &mut into);
            assert_eq!(len, INLINE_LEN);
        });
    });
    group.bench_function("claim: checked", |bencher| {
        bencher.iter(|| both.claim(black_box(4096), black_box(65_536)).is_ok());
    });
    group.bench_function("claim: refused", |bencher| {
        bencher.iter(|| both.claim(black_box(u32::MAX), black_box(65_536)).is_err());
    });
    for len in [256, 65_536] {
        group.bench_function(format!("arena: {len} bytes and back"), |bencher| {
            bencher.iter(|| both.allocate_and_release(black_box(len)).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, shm);
criterion_main!(benches);
