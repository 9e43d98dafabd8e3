//! A transfer without end between magenta and a file on wintermute, to be disturbed.
//!
//! A test program that uses it has an ignored test `part_transfer` that calls [`run`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ipc_core::abi::Errno;
use ipc_core::file::{File, OpenOptions};
use tools::netlab::Lab;

use super::{Running, part, until_reached};

const PATH: &str = "/net/wintermute/home/file";
/// Names the environment variable that names another file.
const PATH_SETTING: &str = "TRANSFER_PATH";
/// Bytes of a write: several frames and more than is carried along with a message.
const CHUNK_LEN: usize = 256 * 1024;
/// A file is written again from its start when it has this many chunks.
const CHUNKS_OF_A_FILE: u64 = 64;
/// Chunks after which a transfer is well under way.
const CHUNKS_UNDER_WAY: u64 = 8;

/// A transfer that is well under way.
pub(crate) fn start(lab: &Lab) -> Running {
    start_on(lab, PATH)
}

/// As [`start`], with another file.
pub(crate) fn start_on(lab: &Lab, path: &str) -> Running {
    let (folder, _) = path.rsplit_once('/').expect("a file in a folder");
    until_reached(lab, "magenta", folder);
    let mut command = part(lab, "magenta", "part_transfer");
    command.env(PATH_SETTING, path);
    let mut running = Running::start(command);
    go_on(&mut running);
    running
}

/// Waits until many more chunks have gone, counted from now: what was told before does not count.
pub(crate) fn go_on(running: &mut Running) {
    let now_ns = moment_ns();
    while next_chunk(running).1 <= now_ns {}
    for _ in 0..CHUNKS_UNDER_WAY {
        next_chunk(running);
    }
}

/// Number of the next chunk that is told of, and when it had gone.
fn next_chunk(running: &mut Running) -> (u64, u128) {
    let line = running.next("chunk");
    let (count, at) = line.split_once(' ').expect("two numbers");
    (
        count.parse().expect("a number"),
        at.parse().expect("a number"),
    )
}

/// The same for all processes of the machine.
fn moment_ns() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is past 1970").as_nanos()
}

/// Writes and reads by turns until an error, and says which.
pub(crate) fn run() {
    let mut options = OpenOptions::new();
    let path = std::env::var(PATH_SETTING).unwrap_or_else(|_| PATH.to_owned());
    let file = match options.read(true).write(true).create(true).open(&path) {
        Ok(file) => file,
        Err(errno) => return println!("refused {errno:?}"),
    };
    let mut back = vec![0; CHUNK_LEN];
    for count in 0u64.. {
        let chunk = vec![count as u8; CHUNK_LEN];
        let offset = count % CHUNKS_OF_A_FILE * CHUNK_LEN as u64;
        let started = Instant::now();
        let moved =
            write_all(&file, &chunk, offset).and_then(|()| read_all(&file, &mut back, offset));
        match moved {
            Ok(()) => println!("chunk {count} {}", moment_ns()),
            Err(errno) => return println!("ended {errno:?} after {:?}", started.elapsed()),
        }
        assert!(back == chunk, "what comes back is what was written");
    }
}

fn write_all(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let len = file.write_at(bytes, offset)?;
        assert_ne!(len, 0, "a write without an error writes");
        (bytes, offset) = (&bytes[len..], offset + len as u64);
    }
    Ok(())
}

fn read_all(file: &File, mut bytes: &mut [u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let len = file.read_at(bytes, offset)?;
        assert_ne!(len, 0, "what was written is there");
        (bytes, offset) = (&mut bytes[len..], offset + len as u64);
    }
    Ok(())
}
