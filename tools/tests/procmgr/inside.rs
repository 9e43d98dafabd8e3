//! The insides of the tests: each in a process of its own, on a node of its own.

use std::{io::Read, os::unix::process::CommandExt, process::Stdio, sync::Arc, thread};

use ipc_core::{
    Channel, Connection, Received,
    abi::{
        ChannelFlags, Chid, Errno, Nd, Pid,
        io::{Connect, DirEntries, Redirect, RedirectServer, Symlink, Whence},
        proc::{BlockState, BlockedEntry, ChannelEntry, NameEntry, PrefixFlags, ProcessEntry},
    },
    file::{self, File, Handover},
    proc::{NameScope, attach_prefix, name_attach, name_open, table},
};

use crate::{
    hello::{TEXT, serve},
    node::{Procmgr, Server, dir, is_root, own_test, qn, qn_says, until},
};

const DIR: PrefixFlags = PrefixFlags::DIR;

pub(crate) fn names() -> Vec<String> {
    let table = table::<NameEntry>(Nd::LOCAL).expect("a process manager answers");
    table
        .into_iter()
        .map(|entry| String::from_utf8(entry.path).unwrap())
        .collect()
}

fn listed(path: &str) -> Vec<String> {
    let entries = file::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().name.into_string().unwrap())
        .collect();
    names.sort();
    names
}

// covers: PTH-1 PTH-2 PTH-3
#[test]
#[ignore = "run by the test of the same name"]
fn a_registered_prefix_is_found_and_read() {
    let _procmgr = Procmgr::start();
    let _device = serve("/dev/hello", PrefixFlags::empty()).unwrap();
    assert_eq!(file::read("/dev/hello").unwrap(), TEXT);
    assert_eq!(file::read("//dev/./x/../hello").unwrap(), TEXT);
    assert_eq!(file::stat("/dev/hello").unwrap().mode & 0o777, 0o444);
    assert_eq!(File::open("/dev/hello/below").unwrap_err(), Errno::ENOENT);
    assert_eq!(File::open("/dev/hell").unwrap_err(), Errno::ENOENT);

    let mut file = File::open("/dev/hello").unwrap();
    let copy = file.try_clone().unwrap();
    file.seek(6, Whence::Set).unwrap();
    let mut text = String::new();
    (&copy).take(4).read_to_string(&mut text).unwrap();
    assert_eq!(text, "from", "a clone shares the offset");
    copy.close().unwrap();
    Read::read_to_string(&mut file, &mut text).unwrap();
    assert_eq!(text, "from a resource manager\n");

    let handover = Handover::read(&file.handover().to_bytes()).unwrap();
    let heir = File::inherit(&handover).unwrap();
    file.seek(6, Whence::Set).unwrap();
    file.close().unwrap();
    let mut text = String::new();
    (&heir).take(4).read_to_string(&mut text).unwrap();
    assert_eq!(
        text, "from",
        "an heir shares the offset, and outlives the giver"
    );
    let late = File::inherit(&handover);
    assert_eq!(late.unwrap_err(), Errno::EBADF, "the giver has closed it");
    handover.end();
    heir.close().unwrap();
    assert_eq!(qn_says(&["cat", "/dev/hello"]).as_bytes(), TEXT);
}

#[test]
#[ignore = "run by the test of the same name"]
fn what_is_dropped_is_taken_back() {
    let _procmgr = Procmgr::start();
    let first = serve("/a", DIR).unwrap();
    let second = serve("/b", DIR).unwrap();
    assert_eq!(names(), ["/a", "/b"]);
    drop(first);
    assert_eq!(names(), ["/b"]);
    drop(second);
    assert_eq!(names(), [""; 0]);
    assert_eq!(File::open("/a/x").unwrap_err(), Errno::ENOENT);
    let _again = serve("/a", DIR).unwrap();
    assert_eq!(names(), ["/a"]);
}

#[test]
#[ignore = "run by the test of the same name"]
fn the_process_manager_lists_what_lies_above_the_prefixes() {
    let _procmgr = Procmgr::start();
    let _a = serve("/dev/ser1", PrefixFlags::empty()).unwrap();
    let _b = serve("/home", DIR).unwrap();
    assert_eq!(listed("/"), ["dev", "home"]);
    assert_eq!(listed("/dev/"), ["name", "ser1"]);
    assert_eq!(listed("/dev/name"), ["global", "local"]);
    assert_eq!(listed("/dev/name/local"), [""; 0]);
    // From where the client says, as readdir of the preload library reads.
    let directory = File::open("/dev").unwrap();
    let mut bytes = [0; 256];
    let len = directory.read_at(&mut bytes, 0).unwrap();
    let entries: Vec<_> = DirEntries::new(&bytes[..len]).map(Result::unwrap).collect();
    assert_eq!(
        entries.iter().map(|entry| entry.name).collect::<Vec<_>>(),
        [&b"name"[..], b"ser1"]
    );
    let (second, end) = (entries[0].next, entries[1].next);
    let len = directory.read_at(&mut bytes, second).unwrap();
    assert_eq!(
        DirEntries::new(&bytes[..len]).next().unwrap().unwrap().name,
        b"ser1"
    );
    assert_eq!(directory.read_at(&mut bytes, end).unwrap(), 0);
    assert_eq!(
        directory.seek(0, Whence::Current).unwrap(),
        0,
        "the offset stays"
    );
    assert!(file::stat("/dev").unwrap().is_dir());
    assert_eq!(File::create("/dev").unwrap_err(), Errno::EISDIR);
    assert_eq!(file::mkdir("/dev", 0o777), Err(Errno::EEXIST));
    assert_eq!(file::unlink("/dev"), Err(Errno::EISDIR));
    assert_eq!(file::mkdir("/nowhere/x", 0o777), Err(Errno::ENOENT));
    assert!(file::is_served("/home/x").unwrap() && !file::is_served("/dev").unwrap());
    assert!(qn_says(&["ls", "-l", "/"]).contains("dr-xr-xr-x"));
}

// covers: SND-3 RMG-2
#[test]
#[ignore = "run by the test of the same name"]
fn many_threads_open_read_and_close_at_once() {
    let _procmgr = Procmgr::start();
    let _server = Server::start("inside::hello_server");
    let work = || {
        for round in 0..40 {
            let mut file = File::open("/srv/x").unwrap();
            let mut text = Vec::new();
            file.read_to_end(&mut text).unwrap();
            assert_eq!(text, TEXT);
            if round % 2 == 0 {
                file.close().unwrap();
            }
            assert_eq!(file::stat("/srv/x").unwrap().mode & 0o777, 0o444);
        }
    };
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(work))));
}

#[test]
#[ignore = "run by a_dead_servers_prefixes_vanish and others"]
fn hello_server() {
    let _device = serve("/srv", DIR).unwrap();
    println!("@ready");
    loop {
        thread::park();
    }
}

// covers: PTH-5 DTH-1
#[test]
#[ignore = "run by the test of the same name"]
fn a_dead_servers_prefixes_vanish() {
    let _procmgr = Procmgr::start();
    let server = Server::start("inside::hello_server");
    assert_eq!(file::read("/srv/x").unwrap(), TEXT);
    let open = File::open("/srv/x").unwrap();
    server.kill();
    until(|| names().is_empty());
    assert!(matches!(open.stat(), Err(Errno::ESRCH | Errno::EBADF)));
    assert_eq!(File::open("/srv/x").unwrap_err(), Errno::ENOENT);
    let _again = Server::start("inside::hello_server");
    assert_eq!(file::read("/srv/x").unwrap(), TEXT);
}

#[test]
#[ignore = "run by the test of the same name"]
fn servers_register_again_when_the_process_manager_comes_back() {
    let mut procmgr = Procmgr::start();
    let own = serve("/own", DIR).unwrap();
    let older = serve("/both", DIR).unwrap();
    let newer = serve("/both", DIR).unwrap();
    let server = Server::start("inside::hello_server");
    for _ in 0..3 {
        procmgr.kill();
        until(|| !own.is_registered());
        procmgr = Procmgr::start();
        until(|| names() == ["/both", "/both", "/own", "/srv"]);
        until(|| own.is_registered() && older.is_registered() && newer.is_registered());
        assert_eq!(file::read("/own/x").unwrap(), TEXT);
        assert_eq!(file::read("/srv/x").unwrap(), TEXT);
    }
    // A server that goes while there is none is not registered again.
    procmgr.kill();
    server.kill();
    drop(own);
    let _procmgr = Procmgr::start();
    until(|| names() == ["/both", "/both"]);
}

#[test]
#[ignore = "run by the test of the same name"]
fn open_files_outlive_the_process_manager() {
    let procmgr = Procmgr::start();
    let _server = Server::start("inside::hello_server");
    let mut file = File::open("/srv/x").unwrap();
    procmgr.kill();
    let mut text = Vec::new();
    file.read_to_end(&mut text).unwrap();
    assert_eq!(text, TEXT);
    file.close().unwrap();
    assert_eq!(File::open("/srv/x").unwrap_err(), Errno::ESRCH);
}

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
    let stopped = Server::start("inside::hello_server");
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

#[test]
#[ignore = "run by the test of the same name"]
fn without_a_process_manager_the_error_says_how_to_start_it() {
    let errno = File::open("/net/wintermute/home/x").unwrap_err();
    assert_eq!(errno, Errno::ESRCH);
    let text = file::describe(errno, "/net/wintermute/home/x");
    let socket = dir().join("1.sock").display().to_string();
    for part in [
        "/net/wintermute/home/x",
        "ESRCH",
        &socket,
        "start it with: procmgr",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    let output = qn(&["ls", "/"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("start it with: procmgr"));
    assert_eq!(qn(&["no such command"]).status.code(), Some(2));
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    assert_eq!(
        attach_prefix("/x", &channel, DIR).unwrap_err(),
        Errno::ESRCH
    );
}

#[test]
#[ignore = "run by the test of the same name"]
fn malformed_messages_are_answered_and_survived() {
    let _procmgr = Procmgr::start();
    let _device = serve("/srv", DIR).unwrap();
    let connection = Connection::attach(Nd::LOCAL, Pid::PROCMGR, Chid::PROCMGR).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let kinds = [
        0x100_u16, 0x101, 0x104, 0x109, 0x116, 0x200, 0x201, 0x202, 0x203, 0xffff,
    ];
    for round in 0..2000 {
        let len = (random() % 96) as usize;
        let mut message: Vec<u8> = (0..len).map(|_| random() as u8 & random() as u8).collect();
        if let Some(head) = message.get_mut(..2) {
            head.copy_from_slice(&kinds[round % kinds.len()].to_le_bytes());
        }
        let mut reply = [0; 64];
        let _ = connection.send(&message, &mut reply);
    }
    let oversized = vec![2; 100_000];
    assert_eq!(
        connection.send(&oversized, &mut []).unwrap_err(),
        Errno::EMSGSIZE
    );
    assert_eq!(connection.send(&[], &mut []).unwrap_err(), Errno::ENOSYS);
    assert_eq!(
        connection.send(&[0, 2], &mut []).unwrap_err(),
        Errno::EBADMSG
    );
    assert_eq!(names(), ["/srv"]);
    assert_eq!(file::read("/srv/x").unwrap(), TEXT);
}

#[test]
#[ignore = "run by the test of the same name"]
fn a_second_process_manager_is_refused() {
    let _procmgr = Procmgr::start();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_procmgr"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains("another procmgr answers"), "{told}");
    assert_eq!(names(), [""; 0]);
    let files = std::fs::read_dir(dir()).unwrap();
    let sockets = files.filter(|file| {
        let path = file.as_ref().unwrap().path();
        path.extension() == Some("sock".as_ref())
    });
    assert_eq!(sockets.count(), 2, "1.sock and that of the first");
}

#[test]
#[ignore = "run by other_users_register_names_only"]
fn registers_as_nobody() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let attach = |path, flags| attach_prefix(path, &channel, flags).err();
    assert_eq!(attach("/net", DIR), Some(Errno::EPERM));
    assert_eq!(attach("/dev/name/local", DIR), Some(Errno::EPERM));
    assert_eq!(attach("/dev/name/local/mine", PrefixFlags::NAME), None);
    assert_eq!(attach("/pub/mine", DIR), None, "the configuration says so");
}

// covers: PTH-5
#[test]
#[ignore = "run by the test of the same name"]
fn other_users_register_names_only() {
    if !is_root() {
        println!("skipped: only root starts a program as another user");
        return;
    }
    let config = dir().join("procmgr.toml");
    std::fs::write(&config, "[[allow]]\nprefix = '/pub'\nuser = 65534\n").unwrap();
    let _procmgr = Procmgr::start_with(&["--config", config.to_str().unwrap()]);
    let output = own_test("inside::registers_as_nobody")
        .uid(65534)
        .gid(65534)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: nobody may not run this binary where it is: {error}");
            return;
        }
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

// covers: PTH-3
#[test]
#[ignore = "run by the test of the same name"]
fn servers_that_lead_in_a_circle_are_eloop() {
    let _procmgr = Procmgr::start();
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let flags = DIR | PrefixFlags::SELF;
    let _registration = attach_prefix("/circle", &channel, flags).unwrap();
    thread::spawn(move || {
        while let Ok(Received::Message(message)) = channel.receive() {
            let again = Redirect {
                servers: vec![RedirectServer {
                    nd: Nd::LOCAL,
                    pid: Pid::PROCMGR,
                    chid: Chid::PROCMGR,
                    handle: 0,
                    flags: 0,
                    prefix_len: 0,
                    node_name: None,
                }],
                path: b"/circle/x".to_vec(),
            };
            message
                .reply(Redirect::STATUS, &again.encode().unwrap())
                .unwrap();
        }
    });
    assert_eq!(File::open("/circle/x").unwrap_err(), Errno::ELOOP);
    assert_eq!(qn(&["cat", "/circle/x"]).status.code(), Some(1));
    let long = format!("/circle/{}", "x/".repeat(3000));
    assert_eq!(File::open(long).unwrap_err(), Errno::ENAMETOOLONG);
}

// covers: PTH-3
#[test]
#[ignore = "run by the test of the same name"]
fn a_symbolic_link_starts_again_at_the_process_manager() {
    let _procmgr = Procmgr::start();
    let _hello = serve("/srv/hello", DIR).unwrap();
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let flags = DIR | PrefixFlags::SELF;
    let _links = attach_prefix("/links", &channel, flags).unwrap();
    thread::spawn(move || {
        while let Ok(Received::Message(message)) = channel.receive() {
            let bytes = message.read_vec(0, message.len()).unwrap();
            let path = Connect::parse(&bytes).unwrap().path.to_vec();
            let name = path.split(|&byte| byte == b'/').next().unwrap();
            let target = match name {
                b"absolute" => b"/srv".to_vec(),
                b"relative" => b"../srv".to_vec(),
                own => own.to_vec(),
            };
            let link = Symlink {
                link_start: 0,
                link_end: name.len(),
                target,
            };
            message
                .reply(Symlink::STATUS, &link.encode().unwrap())
                .unwrap();
        }
    });
    assert_eq!(file::read("/links/absolute/hello").unwrap(), TEXT);
    assert_eq!(file::read("/links/relative/hello/x").unwrap(), TEXT);
    assert_eq!(File::open("/links/itself").unwrap_err(), Errno::ELOOP);
}
