//! A transfer without end between magenta and a file on wintermute, to be disturbed.
//!
//! A test program that uses it has an ignored test `part_transfer` that calls [`run`].

use std::time::Instant;

use ipc_core::abi::Errno;
use ipc_core::file::{File, OpenOptions};
use tools::netlab::Lab;

use super::{Running, part};

const PATH: &str = "/net/wintermute/home/file";
/// Bytes of a write: several frames and more than is carried along with a message.
const CHUNK_LEN: usize = 256 * 1024;
/// A file is written again from its start when it has this many chunks.
const CHUNKS_OF_A_FILE: u64 = 64;
/// Chunks after which a transfer is well under way.
const CHUNKS_UNDER_WAY: u64 = 8;

/// A transfer that is well under way.
pub(crate) fn start(lab: &Lab) -> Running {
    let mut running = Running::start(part(lab, "magenta", "part_transfer"));
    go_on(&mut running);
    running
}

/// Waits until many more chunks have gone.
pub(crate) fn go_on(running: &mut Running) {
    let first: u64 = running.next("chunk").parse().expect("a number");
    while running.next("chunk").parse::<u64>().expect("a number") < first + CHUNKS_UNDER_WAY {}
}

/// Writes and reads by turns until an error, and says which.
pub(crate) fn run() {
    let mut options = OpenOptions::new();
    let file = match options.read(true).write(true).create(true).open(PATH) {
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
            Ok(()) => println!("chunk {count}"),
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
