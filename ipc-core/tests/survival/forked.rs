//! A child that lives on after its parent: nothing of the parent's is open in it.

use ipc_core::{
    Connection,
    abi::{Errno, Nd},
    own_descriptor_from,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{ForkResult, Pid as UnixPid, fork, pause},
};

use crate::{
    child::{self, Child, say},
    server::{Server, connect, descriptors, must_echo, numbers_of, until, until_reply_blocked},
};

// covers: DTH-2
#[test]
fn peers_of_a_killed_parent_learn_of_its_death_while_its_child_lives() {
    let mut parent = Child::start("forked::inside_a_parent", "");
    let (pid, chid) = (parent.pid(), parent.said_chid());
    let heir = UnixPid::from_raw(parent.said().parse().expect("a process id"));
    let connection = connect(pid, chid);
    must_echo(&connection);
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| connection.send(b"x", &mut []));
        until_reply_blocked(pid, 1);
        parent.kill();
        assert_eq!(blocked.join().expect("no panic"), Err(Errno::ESRCH));
    });
    let again = Connection::attach(Nd::LOCAL, pid, chid).map(drop);
    kill(heir, Signal::SIGKILL).expect("it lives on, or the test shows nothing");
    assert_eq!(again, Err(Errno::ESRCH));
}

#[test]
#[ignore = "run by peers_of_a_killed_parent_learn_of_its_death_while_its_child_lives"]
fn inside_a_parent() {
    let server = Server::start();
    // Both ends of a connection, so that there is one of every kind of descriptor.
    let own = connect(ipc_core::abi::Pid::SELF, server.chid());
    must_echo(&own);
    // SAFETY: the child does nothing but wait for its end.
    match unsafe { fork() }.expect("a child can be made") {
        ForkResult::Child => loop {
            pause();
        },
        ForkResult::Parent { child } => {
            say(server.chid());
            say(child);
            child::wait_for_parent();
        }
    }
}

// covers: DTH-1
#[test]
fn a_child_can_use_the_library_anew_and_close_what_it_inherited() {
    child::run_alone("forked::inside_a_parent_of_a_user");
}

#[test]
#[ignore = "run by a_child_can_use_the_library_anew_and_close_what_it_inherited"]
fn inside_a_parent_of_a_user() {
    let server = Server::start();
    let inherited = connect(ipc_core::abi::Pid::SELF, server.chid());
    must_echo(&inherited);
    let (parent, chid) = (ipc_core::abi::Pid::current(), server.chid());
    // SAFETY: the child runs code of this test only, and the C library's allocator works in it.
    match unsafe { fork() }.expect("a child can be made") {
        ForkResult::Child => {
            // Numbers of the parent's are used again here; what names them must not close them.
            let own: Vec<_> = (0..8).map(|_| connect(parent, chid)).collect();
            let open = descriptors();
            drop(inherited);
            let untouched = descriptors() == open;
            own.iter().for_each(must_echo);
            // SAFETY: ends the process without running anything of its parent's.
            unsafe { libc::_exit(i32::from(!untouched)) }
        }
        ForkResult::Parent { child } => {
            let ended = nix::sys::wait::waitpid(child, None);
            assert_eq!(ended, Ok(nix::sys::wait::WaitStatus::Exited(child, 0)));
        }
    }
    must_echo(&inherited);
    drop(inherited);
    let open = descriptors();
    drop(connect(parent, chid));
    until(|| descriptors() <= open);
}

// covers: DTH-1
#[test]
fn a_child_keeps_an_epoll_of_the_programs_that_has_the_number_of_one_of_ours() {
    child::run_alone("forked::inside_a_parent_with_an_epoll");
}

#[test]
#[ignore = "run by a_child_keeps_an_epoll_of_the_programs_that_has_the_number_of_one_of_ours"]
fn inside_a_parent_with_an_epoll() {
    let server = Server::start();
    must_echo(&connect(ipc_core::abi::Pid::SELF, server.chid()));
    let [epoll] = numbers_of("anon_inode:[eventpoll]")[..] else {
        panic!("the monitor has one");
    };
    let own_before = own_descriptor_from(epoll);
    // SAFETY: takes a number and gives one.
    let theirs = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    // SAFETY: takes numbers. That the library's is replaced under it is what this is about.
    let theirs = unsafe { libc::dup3(theirs, epoll, libc::O_CLOEXEC) };
    assert_eq!((theirs, own_before), (epoll, Some(epoll)));
    assert_ne!(own_descriptor_from(epoll), Some(epoll));
    // SAFETY: the child asks for a flag and ends.
    match unsafe { fork() }.expect("a child can be made") {
        ForkResult::Child => {
            // SAFETY: takes numbers.
            let is_open = unsafe { libc::fcntl(theirs, libc::F_GETFD) } >= 0;
            // SAFETY: ends the process without running anything of its parent's.
            unsafe { libc::_exit(i32::from(!is_open)) }
        }
        ForkResult::Parent { child } => {
            let ended = nix::sys::wait::waitpid(child, None);
            assert_eq!(ended, Ok(nix::sys::wait::WaitStatus::Exited(child, 0)));
        }
    }
}

// covers: DTH-1
#[test]
fn a_child_has_none_of_the_librarys_descriptors() {
    child::run_alone("forked::inside_a_parent_that_counts");
}

#[test]
#[ignore = "run by a_child_has_none_of_the_librarys_descriptors"]
fn inside_a_parent_that_counts() {
    let before = descriptors();
    let server = Server::start();
    let own = connect(ipc_core::abi::Pid::SELF, server.chid());
    must_echo(&own);
    assert!(descriptors() > before);
    // SAFETY: the child runs code of this test only, and the C library's allocator works in it.
    match unsafe { fork() }.expect("a child can be made") {
        ForkResult::Child => {
            let has_none = descriptors() <= before;
            // SAFETY: ends the process without running anything of its parent's.
            unsafe { libc::_exit(i32::from(!has_none)) }
        }
        ForkResult::Parent { child } => {
            let ended = nix::sys::wait::waitpid(child, None);
            assert_eq!(ended, Ok(nix::sys::wait::WaitStatus::Exited(child, 0)));
        }
    }
}
