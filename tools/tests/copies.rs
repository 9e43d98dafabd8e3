//! 64 MiB to another node and back, at several frame sizes and over a wire that loses, doubles and
//! reorders frames: every byte arrives where it belongs.

mod support;

use std::io::Read;

use ipc_core::file::{File, OpenOptions};
use tools::netlab::{Faults, Lab};

use support::{lab, part, setting, text};

/// Bytes of a copy.
const LEN: usize = 64 << 20;
/// Bytes of one write or read of the program.
const CHUNK_LEN: usize = 1 << 20;
const PATH: &str = "/net/wintermute/home/big";

/// Bytes that tell where they belong: each eight are a mix of the seed and their own offset.
struct Content {
    seed: u64,
}

impl Content {
    fn fill(&self, offset: usize, chunk: &mut [u8]) {
        for (index, word) in chunk.chunks_mut(8).enumerate() {
            let place = self.seed ^ (offset as u64 + 8 * index as u64);
            let mixed = (place ^ (place >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word.copy_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes()[..word.len()]);
        }
    }

    /// Compares all that `read` gives; it must be `LEN` bytes.
    fn compare(&self, mut read: impl FnMut(&mut [u8]) -> usize) {
        let (mut got, mut wanted) = (vec![0; CHUNK_LEN], vec![0; CHUNK_LEN]);
        for offset in (0..LEN).step_by(CHUNK_LEN) {
            let mut have = 0;
            while have < CHUNK_LEN {
                match read(&mut got[have..]) {
                    0 => panic!("the file ends at {}", offset + have),
                    len => have += len,
                }
            }
            self.fill(offset, &mut wanted);
            let differs = got
                .iter()
                .zip(&wanted)
                .position(|(got, wanted)| got != wanted);
            assert_eq!(differs.map(|at| offset + at), None, "first wrong byte");
        }
        assert_eq!(read(&mut got), 0, "nothing comes after {LEN} bytes");
    }
}

/// Copies to wintermute and back, and looks at the file on wintermute's own disk in between.
fn there_and_back(lab: &Lab, seed: u64) {
    text(part(lab, "magenta", "part_put").env("SEED", seed.to_string()));
    let mut file = lab.open("wintermute", "home/big").expect("it was written");
    Content { seed }.compare(|chunk| file.read(chunk).expect("a file of this machine"));
    text(part(lab, "magenta", "part_take").env("SEED", seed.to_string()));
}

#[test]
#[ignore = "run by the tests here as the part of magenta: writes"]
fn part_put() {
    let content = Content {
        seed: setting("SEED").parse().expect("a number"),
    };
    let file = File::create(PATH).expect("wintermute serves /home");
    let mut chunk = vec![0; CHUNK_LEN];
    for offset in (0..LEN).step_by(CHUNK_LEN) {
        content.fill(offset, &mut chunk);
        let mut done = 0;
        while done < CHUNK_LEN {
            done += file.write(&chunk[done..]).expect("the file takes more");
        }
    }
    file.close().expect("all is written");
}

#[test]
#[ignore = "run by the tests here as the part of magenta: reads"]
fn part_take() {
    let content = Content {
        seed: setting("SEED").parse().expect("a number"),
    };
    let file = OpenOptions::new()
        .read(true)
        .open(PATH)
        .expect("it was written");
    content.compare(|chunk| file.read(chunk).expect("the file gives more"));
}

/// covers: RMG-5, NET-3
#[test]
fn copies_are_equal_at_mtu_1500() {
    let Some(lab) = lab(&["--mtu", "1500"]) else {
        return;
    };
    there_and_back(&lab, 1);
}

/// covers: RMG-5, NET-3
#[test]
fn copies_are_equal_at_mtu_9000() {
    let Some(lab) = lab(&["--mtu", "9000"]) else {
        return;
    };
    there_and_back(&lab, 2);
}

/// covers: RMG-5, NET-3
#[test]
fn copies_are_equal_at_the_largest_mtu() {
    let Some(lab) = lab(&["--mtu", "65535"]) else {
        return;
    };
    there_and_back(&lab, 3);
}

/// covers: NET-4
#[test]
fn copies_are_equal_over_a_wire_that_loses_doubles_and_reorders() {
    let Some(lab) = lab(&[]) else { return };
    for seed in [11, 12, 13] {
        let faults = Faults {
            loss: 5.0,
            dup: 5.0,
            reorder: 5.0,
            delay_us: 0,
            seed,
        };
        lab.faults(Some(faults)).expect("the seeded switch starts");
        there_and_back(&lab, seed);
        let counters = lab.status().expect("it runs").counters;
        assert!(counters.lost > 0 && counters.duplicated > 0 && counters.reordered > 0);
        println!("seed {seed}: {counters:?}");
    }
}
