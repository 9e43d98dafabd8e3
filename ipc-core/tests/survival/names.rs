//! Names in the runtime directory that somebody else has, or that the dead left there.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use ipc_core::{
    Alias, Channel,
    abi::{ChannelFlags, Errno, Pid},
    claim_alias, runtime_dir, set_runtime_dir, snapshot,
};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};

use crate::{
    child::{self, Child, say},
    server::{Server, connect, must_echo},
};

/// A socket at `path` that is listened on as long as the answer lives, and a leftover from then on.
fn occupy(path: &Path) -> OwnedFd {
    let family = AddressFamily::Unix;
    let socket = socket(family, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.expect("a socket can be made");
    let address = UnixAddr::new(path).expect("the path is short");
    bind(socket.as_raw_fd(), &address).expect("nobody has the name");
    listen(&socket, Backlog::MAXCONN).expect("it is bound");
    socket
}

fn name_of(pid: Pid) -> PathBuf {
    runtime_dir().join(format!("{pid}.sock"))
}

/// Names of a process in `dir`, of either form.
fn names_of(pid: Pid, dir: &Path) -> usize {
    let names = fs::read_dir(dir).expect("it is there").flatten();
    let of_process = |name: &str| name.split('.').next() == Some(&pid.to_string());
    names
        .filter(|entry| entry.file_name().to_str().is_some_and(of_process))
        .count()
}

/// Starts a process whose name `stand_in_the_way` takes before the process does, and attaches to it.
fn must_be_found(mut process: Child, stand_in_the_way: impl FnOnce(&Path) -> Option<OwnedFd>) {
    assert_eq!(process.said(), "started");
    let pid = process.pid();
    let in_the_way = stand_in_the_way(&name_of(pid));
    process.tell("create");
    let chid = process.said_chid();
    must_echo(&connect(pid, chid));
    assert_eq!(snapshot(pid).expect("it is found").channels.len(), 1);
    drop(in_the_way);
    must_echo(&connect(pid, chid));
    process.end();
    let _ = fs::remove_file(name_of(pid));
    let left = names_of(pid, &runtime_dir());
    assert_eq!(left, 0, "what the process made went with it");
}

#[test]
fn a_process_whose_name_is_taken_is_found_all_the_same() {
    // The directory, so that other users may write to it.
    let _server = Server::start();
    let inside = "names::inside_a_process";
    must_be_found(Child::start(inside, ""), |path| Some(occupy(path)));
    must_be_found(Child::start(inside, ""), |path| {
        drop(occupy(path));
        None
    });
    must_be_found(Child::start(inside, ""), |path| {
        fs::write(path, "no socket").expect("it can be made");
        None
    });
}

#[test]
fn a_leftover_of_root_is_in_nobodys_way() {
    let _server = Server::start();
    let inside = "names::inside_a_process";
    if let Some(process) = Child::start_as_nobody(inside, "") {
        must_be_found(process, |path| {
            drop(occupy(path));
            None
        });
    }
    if let Some(process) = Child::start_as_nobody(inside, "") {
        must_be_found(process, |path| Some(occupy(path)));
    }
}

#[test]
#[ignore = "run by tests that stand in its way"]
fn inside_a_process() {
    let dir = child::argument();
    if !dir.is_empty() {
        set_runtime_dir(dir.into());
    }
    say("started");
    child::wait_for_parent();
    let server = Server::start();
    say(server.chid());
    child::wait_for_parent();
    drop(server);
    ipc_core::retire();
}

// covers: DTH-1
#[test]
fn names_of_the_dead_are_removed_by_the_next_of_their_user() {
    // Elsewhere the next of the user may be of another test.
    let dir = tempfile::tempdir().expect("there is room");
    let create = || {
        let mut process = Child::start("names::inside_a_process", dir.path().display());
        assert_eq!(process.said(), "started");
        process.tell("create");
        process.said_chid();
        process
    };
    let mut killed = create();
    killed.kill();
    assert_eq!(names_of(killed.pid(), dir.path()), 1);
    let next = create();
    assert_eq!(names_of(killed.pid(), dir.path()), 0);
    next.end();
}

#[test]
fn of_many_that_race_for_a_leftover_one_gets_it_and_keeps_it() {
    for _ in 0..10 {
        let dir = tempfile::tempdir().expect("there is room");
        drop(occupy(&dir.path().join("1.sock")));
        let mut racers: Vec<_> = (0..6)
            .map(|_| Child::start("names::inside_a_racer", dir.path().display()))
            .collect();
        for racer in &mut racers {
            assert_eq!(racer.said(), "ready");
        }
        racers.iter_mut().for_each(|racer| racer.tell("go"));
        let outcomes: Vec<String> = racers.iter_mut().map(Child::said).collect();
        let winners = outcomes.iter().filter(|outcome| *outcome == "won").count();
        assert_eq!(winners, 1, "{outcomes:?}");
        for racer in &mut racers {
            racer.tell("who answers?");
        }
        let winner = outcomes.iter().position(|outcome| outcome == "won");
        let winner = racers[winner.expect("there is one")].pid();
        for racer in &mut racers {
            assert_eq!(racer.said(), winner.to_string());
        }
        racers.into_iter().for_each(Child::end);
    }
}

#[test]
#[ignore = "run by of_many_that_race_for_a_leftover_one_gets_it_and_keeps_it"]
fn inside_a_racer() {
    set_runtime_dir(child::argument().into());
    say("ready");
    child::wait_for_parent();
    let outcome = claim_alias(Alias::ProcessManager);
    match outcome {
        Ok(()) => say("won"),
        Err(Errno::EADDRINUSE) => say("lost"),
        Err(error) => panic!("{error}"),
    }
    child::wait_for_parent();
    let family = AddressFamily::Unix;
    let asker = socket(family, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let asker = asker.expect("a socket can be made");
    let path = runtime_dir().join("1.sock");
    let address = UnixAddr::new(&path).expect("the path is short");
    nix::sys::socket::connect(asker.as_raw_fd(), &address).expect("the winner answers");
    let peer = nix::sys::socket::getsockopt(&asker, nix::sys::socket::sockopt::PeerCredentials);
    say(peer.expect("it is connected").pid());
    child::wait_for_parent();
    drop(Channel::create(ChannelFlags::empty()));
}
