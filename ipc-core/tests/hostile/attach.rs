//! Attaching with what no honest client brings.

use std::{fs, os::fd::AsRawFd};

use ipc_core::abi::{Errno, limits::SLOTS_MAX};
use nix::fcntl::SealFlag;

use crate::{
    raw::{
        ARENA_LEN, Attach, Client, Control, DONE, HEADER_VERSION, HONEST, SLOTS, good_seals,
        memory_file, region, region_len, try_attach,
    },
    server::Server,
};

#[test]
fn an_honest_client_by_hand_is_served() {
    let server = Server::start();
    let mut client = Client::attach(server.chid());
    client.post(&HONEST, b"hello");
    client.doorbell.write_u32(68, u32::MAX);
    // The server may sleep: the honest library would ring; here another client's attach wakes it.
    server.must_serve();
    while client.region.read_u32(Client::slot(0)) & 15 != DONE {
        std::thread::yield_now();
    }
    assert_eq!(client.region.read_u32(Client::slot(0) + 4), 5);
    assert_eq!(server.faults(), 0);
}

#[test]
fn a_region_that_could_shrink_or_is_none_is_refused() {
    let server = Server::start();
    let len = region_len(SLOTS, ARENA_LEN);
    let (pipe, _other_end) = nix::unistd::pipe().expect("a pipe can be made");
    let without_header = memory_file(len, good_seals());
    let half = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    let read_only = good_seals() | SealFlag::F_SEAL_WRITE;
    let files = [
        pipe,
        without_header,
        memory_file(len, SealFlag::empty()),
        memory_file(len, half),
        memory_file(len, read_only),
        memory_file(len - 4096, good_seals()),
        memory_file(len + 4096, good_seals()),
        memory_file(0, good_seals()),
    ];
    for file in files {
        let answer = try_attach(
            &Control::connect(),
            &Attach::honest(server.chid()),
            &[file.as_raw_fd()],
        );
        assert!(answer.is_none_or(|(errno, fds)| errno != 0 && fds.is_empty()));
    }
    server.must_serve();
}

#[test]
fn layouts_out_of_bounds_are_refused() {
    let server = Server::start();
    let honest = Attach::honest(server.chid());
    let forged = [
        Attach { slots: 0, ..honest },
        Attach { slots: 3, ..honest },
        Attach {
            slots: 2 * SLOTS_MAX,
            ..honest
        },
        Attach {
            slots: u32::MAX,
            ..honest
        },
        Attach { slots: 8, ..honest },
        Attach {
            arena_len: 1,
            ..honest
        },
        Attach {
            arena_len: u32::MAX,
            ..honest
        },
        Attach {
            arena_len: 0xffff_f000,
            ..honest
        },
        Attach {
            arena_len: 0,
            ..honest
        },
        Attach {
            flags: 0x8000_0000,
            ..honest
        },
        Attach {
            completion_bit: 0,
            ..honest
        },
        Attach {
            completion_bit: u32::MAX - 1,
            ..honest
        },
        Attach { chid: 0, ..honest },
        Attach { chid: -1, ..honest },
        Attach {
            chid: i32::MAX,
            ..honest
        },
    ];
    for attach in forged {
        let (fd, _memory) = region(SLOTS, ARENA_LEN);
        let answer = try_attach(&Control::connect(), &attach, &[fd.as_raw_fd()]);
        let (errno, fds) = answer.expect("it is told why");
        assert!(errno > 0 && fds.is_empty());
    }
    server.must_serve();
}

#[test]
fn a_header_that_contradicts_the_attach_is_refused() {
    let server = Server::start();
    let (older, newer) = (HEADER_VERSION - 1, HEADER_VERSION + 1);
    for (offset, value) in [(0, 0), (4, older), (4, newer), (8, SLOTS * 2)] {
        let (fd, memory) = region(SLOTS, ARENA_LEN);
        memory.write_u32(offset, value);
        let answer = try_attach(
            &Control::connect(),
            &Attach::honest(server.chid()),
            &[fd.as_raw_fd()],
        );
        let (errno, _) = answer.expect("it is told why");
        assert_eq!(errno, Errno::EPROTO.0);
    }
    server.must_serve();
}

#[test]
fn attaching_twice_over_one_socket_ends_it() {
    let server = Server::start();
    let client = Client::attach(server.chid());
    let (fd, _memory) = region(SLOTS, ARENA_LEN);
    let answer = try_attach(
        &client.control,
        &Attach::honest(server.chid()),
        &[fd.as_raw_fd()],
    );
    assert!(answer.is_none_or(|(errno, _)| errno != 0));
    client.control.until_hung_up();
    server.must_serve();
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    // A size of its own tells this test's files from those of others.
    const LEN: usize = 12_345 * 4096;
    let server = Server::start();
    let unwanted = memory_file(LEN, good_seals());
    let nobody = Attach {
        chid: 9999,
        ..Attach::honest(server.chid())
    };
    for count in [1, 2, 3, 8, 100] {
        let fds = vec![unwanted.as_raw_fd(); count];
        for record in [nobody.encode(), b"no record at all".to_vec()] {
            let control = Control::connect();
            control.send(&record, &fds);
            control.until_hung_up();
        }
    }
    drop(unwanted);
    let still_open = || {
        let open = fs::read_dir("/proc/self/fd")
            .expect("it is mounted")
            .flatten();
        let files = open.filter_map(|entry| fs::metadata(entry.path()).ok());
        files.filter(|file| file.len() == LEN as u64).count()
    };
    // The other side closes a moment after it hung up.
    while still_open() > 0 {
        std::thread::yield_now();
    }
    server.must_serve();
}
