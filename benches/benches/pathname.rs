//! How long the process manager takes to find the servers of a path.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ipc_core::abi::proc::{PrefixFlags, RegistrationId};
use ipc_core::abi::{Chid, Pid};
use ipc_core::proc::Pathname;
use ipc_core::proc::space::{Server, Space};

fn parsed(path: &str) -> Pathname {
    Pathname::parse(path.as_bytes()).expect("a path of this file")
}

/// A space with `prefixes` devices below `/dev`, and servers of `/`, `/dev` and `/net`.
fn space(prefixes: u64) -> Space {
    let mut space = Space::default();
    let devices = (0..prefixes).map(|number| format!("/dev/ser{number}"));
    let trees = ["/", "/dev", "/net"].map(str::to_owned);
    for (id, prefix) in trees.into_iter().chain(devices).enumerate() {
        let server = Server {
            id: RegistrationId(id as u64),
            pid: Pid(100),
            chid: Chid(1),
            handle: 0,
            flags: PrefixFlags::DIR,
            uid: 0,
        };
        space
            .insert(&parsed(&prefix), server)
            .expect("an empty prefix");
    }
    space
}

fn resolve(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pathname");
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Pathname::parse(black_box(b"/net/wintermute/home/rk/filename")));
    });
    for prefixes in [10, 1000] {
        let space = space(prefixes);
        for (name, path) in [
            ("deep", "/net/wintermute/home/rk/filename"),
            ("device", "/dev/ser7"),
        ] {
            let path = parsed(path);
            group.bench_function(format!("resolve {name} among {prefixes}"), |bencher| {
                bencher.iter(|| space.resolve(black_box(&path), None));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, resolve);
criterion_main!(benches);
