//! Prefixes are found, read and listed, and lead on.

use std::{io::Read, thread};

use ipc_core::{
    Channel, Received,
    abi::{
        ChannelFlags, Chid, Errno, Nd, Pid,
        io::{Connect, DirEntries, Redirect, RedirectServer, Symlink, Whence},
        proc::PrefixFlags,
    },
    file::{self, File, Handover},
    proc::attach_prefix,
};

use crate::{
    hello::{TEXT, serve},
    node::{Procmgr, Server, names, qn, qn_says},
};

const DIR: PrefixFlags = PrefixFlags::DIR;

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
    let _server = Server::start("hello::hello_server");
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
