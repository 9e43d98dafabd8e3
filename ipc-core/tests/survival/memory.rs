//! Memory that runs out, and files that may not grow: an errno that says so, and everything works again when the
//! limit is lifted.

use std::fs;

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection,
    abi::{ChannelFlags, Errno, Nd, Pid, limits::ARENA_LEN_DEFAULT},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    child::{self, Child, run_alone, say},
    server::{Server, connect, must_echo, until},
};

/// Room for everything but regions: what the allocator, thread stacks and the test harness may still want.
const SLACK: u64 = 24 << 20;

/// Sets the soft limit; answers what it was before.
fn limit(what: Resource, to: u64) -> u64 {
    let (soft, hard) = getrlimit(what).expect("it can be read");
    setrlimit(what, to, hard).expect("it is below the hard one");
    soft
}

/// Bytes of address space that this process uses.
fn address_space() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("it is mounted");
    let pages = statm.split_whitespace().next().expect("there is a first");
    pages.parse::<u64>().expect("a number") * 4096
}

/// Attaches until it is refused; answers what came before that, and why.
fn attach_until_refused(pid: Pid, chid: ipc_core::abi::Chid) -> (Vec<Connection>, Errno) {
    const ENOUGH: usize = 100;
    let mut connections = Vec::new();
    while connections.len() < ENOUGH {
        match Connection::attach(Nd::LOCAL, pid, chid) {
            Ok(connection) => connections.push(connection),
            Err(error) => return (connections, error),
        }
    }
    panic!("{ENOUGH} regions fit below the limit");
}

#[test]
fn a_client_without_address_space_gets_enomem_and_can_go_on_later() {
    run_alone("memory::inside_a_client");
}

#[test]
#[ignore = "run by a_client_without_address_space_gets_enomem_and_can_go_on_later"]
fn inside_a_client() {
    let mut server = Child::start("memory::inside_a_server", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let before = connect(pid, chid);
    must_echo(&before);
    let region = u64::from(ARENA_LEN_DEFAULT);
    let allowed = limit(Resource::RLIMIT_AS, address_space() + 2 * region + SLACK);
    let (connections, error) = attach_until_refused(pid, chid);
    assert_eq!(error, Errno::ENOMEM);
    assert!(!connections.is_empty(), "there was room for one");
    connections.iter().for_each(must_echo);
    must_echo(&before);
    // A small one still fits.
    let options = AttachOptions {
        arena_len: 4096,
        ..AttachOptions::default()
    };
    let small = Connection::attach_with(Nd::LOCAL, pid, chid, &options);
    must_echo(&small.expect("it takes no room to speak of"));
    // What is given back is there again, below the same limit.
    let count = connections.len();
    drop(connections);
    // A moment later: the monitor may still have one in its hands.
    until(|| attach_until_refused(pid, chid).0.len() >= count);
    limit(Resource::RLIMIT_AS, allowed);
    must_echo(&connect(pid, chid));
    server.end();
}

#[test]
fn who_comes_to_a_server_without_address_space_is_told_enomem() {
    let mut server = Child::start("memory::inside_a_server", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let before = connect(pid, chid);
    must_echo(&before);
    server.tell("no more memory");
    assert_eq!(server.said(), "limited");
    let (connections, error) = attach_until_refused(pid, chid);
    assert_eq!(error, Errno::ENOMEM);
    connections.iter().for_each(must_echo);
    must_echo(&before);
    server.tell("lift");
    assert_eq!(server.said(), "lifted");
    must_echo(&connect(pid, chid));
    must_echo(&before);
    server.end();
}

#[test]
#[ignore = "run by the tests of its clients"]
fn inside_a_server() {
    let server = Server::start();
    say(server.chid());
    child::wait_for_parent();
    let region = u64::from(ARENA_LEN_DEFAULT);
    let allowed = limit(Resource::RLIMIT_AS, address_space() + 2 * region + SLACK);
    say("limited");
    child::wait_for_parent();
    limit(Resource::RLIMIT_AS, allowed);
    say("lifted");
    child::wait_for_parent();
}

#[test]
fn a_process_that_may_not_make_large_files_gets_efbig_and_no_signal() {
    run_alone("memory::inside_a_process_of_small_files");
}

#[test]
#[ignore = "run by a_process_that_may_not_make_large_files_gets_efbig_and_no_signal"]
fn inside_a_process_of_small_files() {
    let server = Server::start();
    let before = connect(Pid::SELF, server.chid());
    let allowed = limit(Resource::RLIMIT_FSIZE, u64::from(ARENA_LEN_DEFAULT));
    let attached = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid());
    assert_eq!(attached.map(drop), Err(Errno::EFBIG));
    let options = AttachOptions {
        arena_len: 1 << 20,
        ..AttachOptions::default()
    };
    let small = Connection::attach_with(Nd::LOCAL, Pid::SELF, server.chid(), &options);
    must_echo(&small.expect("its region is smaller than that"));
    limit(Resource::RLIMIT_FSIZE, 0);
    let channel = Channel::create(ChannelFlags::empty());
    assert_eq!(channel.map(drop), Err(Errno::EFBIG));
    assert_eq!(CompletionQueue::new().map(drop), Err(Errno::EFBIG));
    must_echo(&before);
    limit(Resource::RLIMIT_FSIZE, allowed);
    drop(Channel::create(ChannelFlags::empty()).expect("it may again"));
    must_echo(&connect(Pid::SELF, server.chid()));
}
