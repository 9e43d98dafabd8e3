//! Names, and what the tables say of processes and who is blocked.

use std::{sync::Arc, thread};

use ipc_core::{
    Channel, Connection, Received,
    abi::{
        ChannelFlags, Errno, Nd, Pid,
        proc::{BlockState, BlockedEntry, ChannelEntry, ProcessEntry},
    },
    file::File,
    proc::{NameScope, name_attach, name_open, table},
};

use crate::node::{Procmgr, Server, names, qn_says, until};

// covers: PTH-6
#[test]
#[ignore = "run by the test of the same name"]
fn names_are_found_without_a_message_to_their_server() {
    let _procmgr = Procmgr::start();
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let name = name_attach("printer", &channel, NameScope::Local).unwrap();
    assert_eq!(names(), ["/dev/name/local/printer"]);
    assert_eq!(
        name_attach("printer", &channel, NameScope::Local).unwrap_err(),
        Errno::EEXIST
    );
    let absent = |name| name_open(name, NameScope::Local).err();
    assert_eq!(absent("plotter"), Some(Errno::ENOENT));
    assert_eq!(absent("../printer"), Some(Errno::EINVAL));

    let server = Arc::clone(&channel);
    let answer = thread::spawn(move || {
        // The first and only thing that reaches the server is the client's own message.
        let Ok(Received::Message(message)) = server.receive() else {
            panic!("a message")
        };
        let text = message.read_vec(0, message.len()).unwrap();
        message.reply(7, &text).unwrap();
    });
    let connection = name_open("printer", NameScope::Local).unwrap();
    let mut reply = [0; 8];
    let answered = connection.send(b"page", &mut reply).unwrap();
    assert_eq!((answered.status, &reply[..answered.len]), (7, &b"page"[..]));
    answer.join().unwrap();
    let by_path = name_open("/dev/name/local/printer", NameScope::Global).unwrap();
    assert_eq!(by_path.server_info().chid, channel.chid());
    drop(name);
    assert_eq!(absent("printer"), Some(Errno::ENOENT));
}

#[test]
#[ignore = "run by the test of the same name"]
fn tables_say_who_is_blocked_on_whom() {
    let procmgr = Procmgr::start();
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let _name = name_attach("slow", &channel, NameScope::Local).unwrap();
    let (own, chid) = (Pid::current(), channel.chid());
    let client = thread::spawn(move || {
        Connection::attach(Nd::LOCAL, Pid::SELF, chid)
            .unwrap()
            .send(b"x", &mut [])
            .unwrap();
    });
    let states = || {
        let table = table::<BlockedEntry>(Nd::LOCAL).unwrap();
        let on_it = table
            .into_iter()
            .filter(|entry| (entry.on_pid, entry.on_chid) == (own, chid));
        on_it
            .map(|entry| (entry.state, entry.pid))
            .collect::<Vec<_>>()
    };
    until(|| states() == [(BlockState::Send, own)]);
    let Ok(Received::Message(message)) = channel.receive() else {
        panic!("a message")
    };
    assert_eq!(states(), [(BlockState::Reply, own)]);
    let line = format!("{own}/{chid}");
    assert!(
        qn_says(&["blocked"])
            .lines()
            .any(|l| l.starts_with("REPLY") && l.ends_with(&line))
    );
    message.reply(0, &[]).unwrap();
    client.join().unwrap();
    assert_eq!(states(), []);

    let processes = table::<ProcessEntry>(Nd::LOCAL).unwrap();
    let me = processes.iter().find(|entry| entry.pid == own).unwrap();
    assert_eq!((me.channels, me.prefixes), (1, 1));
    assert!(processes.iter().any(|entry| entry.name == "procmgr"));
    let channels = table::<ChannelEntry>(Nd::LOCAL).unwrap();
    assert!(
        channels
            .iter()
            .any(|entry| (entry.pid, entry.chid) == (own, chid))
    );
    let json: serde_json::Value = serde_json::from_str(&qn_says(&["--json", "ps"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), processes.len());

    // A process that is stopped does not answer; those that resolve paths do not wait for it.
    let stopped = Server::start("hello::hello_server");
    let signal = |signal| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(stopped.pid()), signal).unwrap();
    };
    signal(nix::sys::signal::Signal::SIGSTOP);
    let slow = thread::spawn(|| table::<BlockedEntry>(Nd::LOCAL));
    assert_eq!(File::open("/nowhere").unwrap_err(), Errno::ENOENT);
    slow.join().unwrap().unwrap();
    signal(nix::sys::signal::Signal::SIGCONT);
    drop(procmgr);
}
