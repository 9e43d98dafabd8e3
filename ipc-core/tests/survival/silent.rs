//! Clients that connect and say nothing.

use std::{io::Read, os::fd::AsRawFd};

use ipc_core::{
    abi::{Pid, limits::UNATTACHED_PER_USER_MAX},
    runtime_dir,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect as connect_socket, recv, socket,
};

use crate::server::{Server, connect, must_echo};

/// Connects, and no more.
fn knock() -> std::fs::File {
    let family = AddressFamily::Unix;
    let socket = socket(family, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.expect("a socket can be made");
    let path = runtime_dir().join(format!("{}.sock", Pid::current()));
    let address = UnixAddr::new(&path).expect("the path is short");
    connect_socket(socket.as_raw_fd(), &address).expect("this process listens");
    socket.into()
}

fn is_hung_up(socket: &std::fs::File) -> bool {
    recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) == Ok(0)
}

#[test]
fn who_says_nothing_makes_room_for_who_comes_later_and_is_hung_up_on_in_the_end() {
    let server = Server::start();
    let mut silent = Vec::new();
    for round in 0..2 * UNATTACHED_PER_USER_MAX {
        silent.push(knock());
        if round % 64 == 0 {
            must_echo(&connect(Pid::SELF, server.chid()));
        }
    }
    // The oldest have made room: a read ends for them, and is not yet to end for the others.
    let (old, young) = silent.split_at_mut(UNATTACHED_PER_USER_MAX / 2);
    for socket in old {
        assert_eq!(socket.read(&mut [0]).expect("no error"), 0);
    }
    must_echo(&connect(Pid::SELF, server.chid()));
    // The last of all waits for its time limit.
    let last = young.last_mut().expect("there are many");
    assert_eq!(last.read(&mut [0]).expect("no error"), 0);
    assert!(young.iter().all(is_hung_up));
    must_echo(&connect(Pid::SELF, server.chid()));
}
