//! Control records that are none.

use std::{os::fd::AsRawFd, process::Command};

use ipc_core::{
    abi::{Errno, Pid},
    runtime_dir, snapshot,
};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use proptest::{collection::vec, prelude::*, test_runner::Config};

use crate::{
    raw::{Client, Control, DONE, HONEST, cancel, header},
    server::Server,
};

#[test]
fn arbitrary_records_end_only_the_socket_they_came_over() {
    let server = Server::start();
    let steady = Client::attach(server.chid());
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    proptest!(config, |(op in 0_u16..6, body in vec(any::<u8>(), 0..200), framed: bool)| {
        let control = Control::connect();
        let record = if framed { [header(op), body].concat() } else { body };
        control.send(&record, &[]);
        drop(control);
    });
    server.must_serve();
    drop(steady);
}

#[test]
fn a_cancel_before_the_attach_ends_the_socket() {
    let server = Server::start();
    let control = Control::connect();
    control.send(&cancel(0, 1, 3), &[]);
    control.until_hung_up();
    server.must_serve();
}

#[test]
fn cancels_of_messages_that_are_not_there_have_no_effect() {
    let server = Server::start();
    let mut client = Client::attach(server.chid());
    for slot in [0, 1, 5, u32::MAX] {
        for wish in 1..=3 {
            client.control.send(&cancel(slot, 0x0fff_ffff, wish), &[]);
        }
    }
    client.post(&HONEST, b"hello");
    server.must_serve();
    while client.region.read_u32(Client::slot(0)) & 15 != DONE {
        std::thread::yield_now();
    }
}

#[test]
fn a_wish_that_is_none_ends_the_connection() {
    let server = Server::start();
    let client = Client::attach(server.chid());
    client.control.send(&cancel(0, 0, 9), &[]);
    client.control.until_hung_up();
    server.must_serve();
}

#[test]
fn clients_that_connect_and_say_nothing_are_in_nobodys_way() {
    let server = Server::start();
    let silent: Vec<_> = (0..50).map(|_| Control::connect()).collect();
    server.must_serve();
    drop(silent);
    server.must_serve();
}

#[test]
fn a_socket_under_the_name_of_another_process_is_not_believed() {
    let server = Server::start();
    let mut other = Command::new("sleep").arg("600").spawn().expect("it exists");
    let path = runtime_dir().join(format!("{}.sock", other.id()));
    let family = AddressFamily::Unix;
    let listener = socket(family, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let listener = listener.expect("a socket can be made");
    let address = UnixAddr::new(&path).expect("the path is short");
    bind(listener.as_raw_fd(), &address).expect("nobody has the name");
    listen(&listener, Backlog::MAXCONN).expect("it is bound");
    let said = snapshot(Pid::from(&other));
    std::fs::remove_file(path).expect("it is there");
    other.kill().expect("it was not waited for before");
    other.wait().expect("it was not waited for before");
    assert_eq!(said, Err(Errno::ESRCH));
    server.must_serve();
}
