//! Many who read the statistics at one time, and some who stop on the way.

use std::thread;

use ipc_core::{
    abi::{Errno, Result},
    file::{self, File},
};

use crate::{
    lab::{attach, echo, resolve, two_nodes},
    support::in_namespace,
};

const STATISTICS: &str = "/net/.stats";
/// How many read all of it at one time, and how many have begun to and do not go on.
const READERS: usize = 100;
const STALLED: usize = 10;

#[test]
fn a_hundred_readers_of_the_statistics_block_nobody_and_those_who_stop_hold_up_nobody() {
    in_namespace("readers::inside_readers");
}

// covers: RMG-4
#[test]
#[ignore = "run by a_hundred_readers_of_the_statistics_block_nobody_and_those_who_stop_hold_up_nobody in its namespace"]
fn inside_readers() {
    let (_root, magenta, _wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let connection = attach(nd);
    let mut stalled: Vec<(File, Vec<u8>)> = (0..STALLED)
        .map(|_| {
            let file = patient(|| File::open(STATISTICS));
            let mut begin = vec![0; 16];
            assert_eq!(file.read(&mut begin), Ok(16));
            (file, begin)
        })
        .collect();
    thread::scope(|scope| {
        let readers = [(); READERS].map(|()| scope.spawn(|| patient(|| file::read(STATISTICS))));
        // Messages pass meanwhile.
        while readers.iter().any(|reader| !reader.is_finished()) {
            echo(&connection, 1000, 1);
        }
        for reader in readers {
            check(&reader.join().unwrap());
        }
    });
    // Who stopped finds the rest of what was there when it began.
    for (file, text) in &mut stalled {
        let mut part = [0; 4096];
        while let Ok(len @ 1..) = file.read(&mut part) {
            text.extend_from_slice(&part[..len]);
        }
        check(text);
    }
}

fn check(text: &[u8]) {
    let report: serde_json::Value = serde_json::from_slice(text).unwrap();
    assert_eq!(report["node"], "magenta");
    assert_eq!(report["nodes"][0]["name"], "wintermute");
}

/// On a busy machine the network-handler thread may be late with its figures: that is EIO, and asked again.
fn patient<T>(ask: impl Fn() -> Result<T>) -> T {
    loop {
        match ask() {
            Err(Errno::EIO) => {}
            outcome => return outcome.unwrap(),
        }
    }
}
