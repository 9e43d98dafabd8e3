//! Drops frames in the kernel, before they are queued and copied: for the time of a flood only, as what is dropped
//! there is not counted by reason. One in [`SAMPLE`] of those turned away comes through all the same: it is counted,
//! and who has come to a new address is found.
//!
//! Knows of the format what the header says, version and length, and which records strangers have reason to send.

use std::{
    io, mem,
    os::fd::{AsRawFd, OwnedFd},
};

use qnet_proto::{
    Mac,
    limits::QNET_HEADER_LEN,
    wire::{self, RecordType},
};

use crate::{
    driver::{ETHERNET_HEADER_LEN, FrameSocket},
    limits::SIEVE_STATIONS_MAX,
};

/// Of so many frames that the sieve turns away one comes through.
pub const SAMPLE: u32 = 256;
/// Of so many frames with which a stranger may begin one comes through. They are sent again when nothing comes
/// back, half a dozen times within the usual tolerance.
const NEWCOMERS: u32 = 4;

/// Where a frame has what is looked at, from its start; see `docs/protocol.md`.
const SOURCE: u32 = 6;
const VERSION: u32 = ETHERNET_HEADER_LEN as u32;
const FLAGS: u32 = VERSION + 1;
const LEN: u32 = VERSION + 2;
const RECORD: u32 = VERSION + QNET_HEADER_LEN as u32;
/// The bits that no flag has.
const FLAGS_UNKNOWN: u32 = 0xfc;
/// The records of names, handshakes and ends: all that strangers may say.
const STRANGERS_FIRST: u32 = RecordType::Announce as u32;
const STRANGERS_LAST: u32 = RecordType::Reset as u32;

/// Operations of classic BPF: load word, half word, byte at an offset; the frame's length; and so on.
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_FRAME_LEN: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_LEN;
const ADD: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const KEEP: u32 = libc::BPF_MISC | libc::BPF_TAX;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const IF_AT_LEAST_KEPT: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_X;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
/// As an offset of a load: a random number of the kernel's (`SKF_AD_OFF + SKF_AD_RANDOM`).
const RANDOM: u32 = (-0x1000_i32).cast_unsigned() + 56;

const ACCEPT: u32 = u32::MAX;
const DROP: u32 = 0;

/// The filter of one socket.
#[derive(Debug)]
pub struct Sieve(OwnedFd);

impl Sieve {
    /// That of a socket which is opened already; nothing is dropped yet.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn of(socket: &FrameSocket) -> io::Result<Sieve> {
        socket.fd.try_clone().map(Sieve)
    }

    /// From now on only these stations' frames come through, and of others some that strangers have reason to
    /// send, if their headers are sound.
    ///
    /// # Errors
    /// The kernel has no memory for it, of which `net.core.optmem_max` is all that a socket gets, or the stations are more
    /// than [`SIEVE_STATIONS_MAX`], which is all that a filter has room for. Then everything comes through, as a sieve
    /// that does not know all of them turns the rest away.
    pub fn raise(&self, stations: &[Mac]) -> io::Result<()> {
        if stations.len() > SIEVE_STATIONS_MAX {
            // It fails where nothing was raised.
            let _ = self.lower();
            return Err(io::Error::other(format!(
                "{} stations have sessions here, and a filter takes {SIEVE_STATIONS_MAX}",
                stations.len()
            )));
        }
        let mut program = program(stations);
        // The kernel holds the sieve from before as well until it has the new one: without it there may be room.
        self.attach(&mut program).or_else(|_| {
            let _ = self.lower();
            self.attach(&mut program)
        })
    }

    fn attach(&self, program: &mut [libc::sock_filter]) -> io::Result<()> {
        let filter = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_mut_ptr(),
        };
        // SAFETY: the descriptor is open; the kernel copies `len` operations from `filter`, which is the slice's
        // own memory and outlives the call.
        let outcome = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const filter).cast(),
                mem::size_of_val(&filter) as libc::socklen_t,
            )
        };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// From now on everything comes through.
    ///
    /// # Errors
    /// Nothing was raised.
    pub fn lower(&self) -> io::Result<()> {
        let nothing: libc::c_int = 0;
        // SAFETY: the descriptor is open; the kernel reads the four bytes of `nothing`, which outlives the call.
        let outcome = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_DETACH_FILTER,
                (&raw const nothing).cast(),
                mem::size_of_val(&nothing) as libc::socklen_t,
            )
        };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// What the kernel runs for each frame. A load beyond the frame's end drops it.
fn program(stations: &[Mac]) -> Vec<libc::sock_filter> {
    let mut code = Vec::new();
    code.push(step(LOAD_BYTE, VERSION));
    refuse_unless(&mut code, IF_EQUAL, u32::from(wire::VERSION));
    code.push(step(LOAD_BYTE, FLAGS));
    refuse_if(&mut code, IF_ANY_BIT, FLAGS_UNKNOWN);
    code.push(step(LOAD_HALF, LEN));
    refuse_unless(&mut code, IF_AT_LEAST, QNET_HEADER_LEN as u32);
    code.push(step(ADD, ETHERNET_HEADER_LEN as u32));
    code.push(step(KEEP, 0));
    code.push(step(LOAD_FRAME_LEN, 0));
    refuse_unless(&mut code, IF_AT_LEAST_KEPT, 0);
    for Mac([a, b, rest @ ..]) in stations {
        code.push(step(LOAD_WORD, SOURCE + 2));
        code.push(branch(IF_EQUAL, u32::from_be_bytes(*rest), 0, 3));
        code.push(step(LOAD_HALF, SOURCE));
        code.push(branch(
            IF_EQUAL,
            u32::from(u16::from_be_bytes([*a, *b])),
            0,
            1,
        ));
        code.push(step(RETURN, ACCEPT));
    }
    // A frame without records has nothing to say here.
    code.push(step(LOAD_BYTE, RECORD));
    refuse_unless(&mut code, IF_AT_LEAST, STRANGERS_FIRST);
    refuse_if(&mut code, IF_AT_LEAST, STRANGERS_LAST + 1);
    pass_one_in(&mut code, NEWCOMERS);
    code
}

fn step(code: u32, k: u32) -> libc::sock_filter {
    branch(code, k, 0, 0)
}

/// Goes on after so many operations if the condition is true, or false.
fn branch(code: u32, k: u32, if_true: u8, if_false: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: if_true,
        jf: if_false,
        k,
    }
}

/// Operations of [`pass_one_in`].
const PASS_LEN: u8 = 5;

/// Drops the frame, but for one in so many: a power of two.
fn pass_one_in(code: &mut Vec<libc::sock_filter>, count: u32) {
    code.push(step(LOAD_WORD, RANDOM));
    code.push(step(AND, count - 1));
    code.push(branch(IF_EQUAL, 0, 0, 1));
    code.push(step(RETURN, ACCEPT));
    code.push(step(RETURN, DROP));
}

fn refuse_unless(code: &mut Vec<libc::sock_filter>, condition: u32, k: u32) {
    code.push(branch(condition, k, PASS_LEN, 0));
    pass_one_in(code, SAMPLE);
}

fn refuse_if(code: &mut Vec<libc::sock_filter>, condition: u32, k: u32) {
    code.push(branch(condition, k, 0, PASS_LEN));
    pass_one_in(code, SAMPLE);
}

const _: () = assert!(SAMPLE.is_power_of_two() && NEWCOMERS.is_power_of_two());

#[cfg(test)]
mod tests {
    use nix::sys::socket::{MsgFlags, recv, send};

    use super::*;

    const ETHERTYPE: u16 = 0x88b5;
    const FRIEND: [u8; 6] = [2, 0, 0, 0, 0, 7];
    const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 8];
    const COUNT: usize = 128;

    /// A frame with sound headers and one record of a type.
    fn frame(source: [u8; 6], record: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2];
        frame.extend(source);
        frame.extend(ETHERTYPE.to_be_bytes());
        frame.extend([wire::VERSION, 0, 0, 36]);
        frame.extend([0; QNET_HEADER_LEN - 4]);
        frame.extend([record, 0, 0, 0]);
        frame
    }

    /// How many of `COUNT` such frames come through.
    fn passing(change: impl Fn(&mut Vec<u8>), source: [u8; 6], record: u8) -> usize {
        let (from, to) = FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap();
        let sieve = Sieve::of(&to).unwrap();
        sieve.raise(&[Mac([9; 6]), Mac(FRIEND)]).unwrap();
        let mut sent = frame(source, record);
        change(&mut sent);
        let received = |_: &usize| {
            send(from.fd.as_raw_fd(), &sent, MsgFlags::empty()).unwrap();
            let flags = MsgFlags::MSG_DONTWAIT;
            recv(to.fd.as_raw_fd(), &mut [0; 2048], flags).is_ok()
        };
        (0..COUNT).filter(received).count()
    }

    #[test]
    fn friends_come_through_and_some_newcomers() {
        let same = |_: &mut Vec<u8>| {};
        assert_eq!(passing(same, FRIEND, 1), COUNT);
        assert_eq!(passing(same, FRIEND, 20), COUNT);
        let padded = |frame: &mut Vec<u8>| frame.resize(60, 0);
        assert_eq!(passing(padded, FRIEND, 1), COUNT, "padding is no fault");
        for record in [RecordType::Announce, RecordType::Confirm, RecordType::Reset] {
            let count = passing(same, STRANGER, record as u8);
            assert!((1..COUNT).contains(&count), "{record:?}: {count}");
        }
    }

    #[test]
    fn of_what_is_no_use_few_come_through() {
        let few = COUNT / 3;
        assert!(passing(|_| {}, STRANGER, 1) < few);
        assert!(passing(|_| {}, STRANGER, 15) < few && passing(|_| {}, STRANGER, 25) < few);
        assert!(
            passing(|frame| frame[14] = wire::VERSION - 1, FRIEND, 1) < few,
            "version"
        );
        assert!(passing(|frame| frame[15] = 4, FRIEND, 1) < few, "flags");
        assert!(
            passing(|frame| frame[17] = 31, FRIEND, 1) < few,
            "too short a length"
        );
        assert!(
            passing(|frame| frame[17] = 37, FRIEND, 1) < few,
            "longer than it is"
        );
        assert!(
            passing(|frame| frame.truncate(20), FRIEND, 1) < few,
            "half a header"
        );
        assert_eq!(
            passing(|frame| frame.truncate(16), FRIEND, 1),
            0,
            "no length"
        );
    }

    #[test]
    fn what_was_lowered_lets_everything_through() {
        let (from, to) = FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap();
        let sieve = Sieve::of(&to).unwrap();
        assert!(sieve.lower().is_err(), "nothing was raised");
        sieve.raise(&[]).unwrap();
        sieve.lower().unwrap();
        send(from.fd.as_raw_fd(), b"anything", MsgFlags::empty()).unwrap();
        assert!(recv(to.fd.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_DONTWAIT).is_ok());
    }

    #[test]
    fn more_stations_than_it_has_room_for_are_none_of_them_turned_away() {
        let (from, to) = FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap();
        let sieve = Sieve::of(&to).unwrap();
        sieve.raise(&[Mac([9; 6])]).unwrap();
        let mut stations = vec![Mac([9; 6]); SIEVE_STATIONS_MAX];
        stations.push(Mac(FRIEND));
        assert!(sieve.raise(&stations).is_err());
        let sent = frame(FRIEND, 1);
        for _ in 0..COUNT {
            send(from.fd.as_raw_fd(), &sent, MsgFlags::empty()).unwrap();
            let flags = MsgFlags::MSG_DONTWAIT;
            recv(to.fd.as_raw_fd(), &mut [0; 2048], flags).expect("it comes through");
        }
    }
}
