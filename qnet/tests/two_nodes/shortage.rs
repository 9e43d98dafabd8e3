//! Short of disk, of descriptors: what has no room says so, and all else goes on.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    Connection,
    abi::{Errno, Nd},
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use crate::{
    lab::{Process, TestNode, attach, echo, resolve, resolve_in_time, role, start, two_nodes},
    support::{in_namespace, make_veth},
};

/// Bytes of the disk that is full soon.
const DISK_LEN: u64 = 64 << 10;

/// A program that gets nowhere fails its test after this long.
const GIVE_UP: Duration = Duration::from_secs(60);

/// A small file system, which only this thread and its children see, until it is dropped.
struct SmallDisk(PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Where it stays mounted, its folder cannot be removed, and that is told of.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Mounts a small file system at `dir`.
fn mount_small_disk(dir: &Path) -> SmallDisk {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    fs::create_dir(dir).unwrap();
    let (kind, options) = (Some("tmpfs"), format!("size={DISK_LEN}"));
    mount(kind, dir, kind, MsFlags::empty(), Some(&*options)).unwrap();
    SmallDisk(dir.to_owned())
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let give_up = Instant::now() + GIVE_UP;
    while !is_so() {
        assert!(Instant::now() < give_up, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_disk_that_is_full_ends_the_recording_and_nothing_else() {
    in_namespace("shortage::inside_full_disk");
}

#[test]
#[ignore = "run by a_disk_that_is_full_ends_the_recording_and_nothing_else in its namespace"]
fn inside_full_disk() {
    let disk = tempfile::tempdir().unwrap();
    let small = disk.path().join("small");
    let _mounted = mount_small_disk(&small);
    let (whole, by_request) = (small.join("whole.pcapng"), small.join("asked.pcapng"));
    let shown = whole.to_str().unwrap();
    let (root, magenta, _wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();

    // Asked of a qnet that runs: it is told, and whoever asks next is served.
    let mut asked = qnet(&magenta.dir, &["capture", by_request.to_str().unwrap()]);
    let log = root.path().join("asked.log");
    let mut asked = Process(asked.stderr(File::create(&log).unwrap()).spawn().unwrap());
    let connection = attach(nd);
    let mut status = None;
    until("the disk is full", || {
        echo(&connection, 10_000, 1);
        fs::metadata(&by_request).is_ok_and(|file| file.len() + 4096 > DISK_LEN)
    });
    until("it ends", || {
        echo(&connection, 10_000, 2);
        !Path::new(&format!("/proc/{}/exe", asked.pid())).exists()
    });
    status.replace(asked.0.wait().unwrap());
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{said}");
    for part in ["cannot write", "No space left", "recorded: ", "-b BYTES"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let next = qnet(&magenta.dir, &["capture", "-f", "1", "/dev/null"]).spawn();
    let mut next = Process(next.unwrap());
    let mut ended = None;
    let give_up = Instant::now() + GIVE_UP;
    while ended.is_none() && Instant::now() < give_up {
        echo(&connection, 100, 3);
        ended = next.0.try_wait().unwrap();
    }
    assert!(ended.is_some_and(|status| status.success()));
    drop(connection);

    // From the start on: it goes on without.
    drop(magenta);
    fs::remove_file(&by_request).unwrap();
    let log = root.path().join("log");
    let again = root.path().join("again");
    fs::create_dir(&again).unwrap();
    let server = start(role("server::role_server", &again));
    let mut recording = qnet(
        &again,
        &["--interface", "va", "--name", "again", "--capture"],
    );
    recording.arg(&whole).stderr(File::create(&log).unwrap());
    let recording = TestNode {
        qnet: start(recording),
        server,
        dir: again,
    };
    ipc_core::set_runtime_dir(recording.dir.clone());
    let nd = resolve_in_time(recording.qnet.pid(), "wintermute");
    let connection = attach(nd);
    until("it is told", || {
        echo(&connection, 10_000, 4);
        let said = fs::read_to_string(&log).unwrap();
        said.contains(shown) && said.contains("No space left") && said.contains("qnet capture -b")
    });
    (0..20).for_each(|salt| echo(&connection, 100_000, salt));
    assert!(fs::metadata(&whole).unwrap().len() <= DISK_LEN);
}

fn qnet(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qnet"));
    command.args(arguments).env("QNET_RUNTIME_DIR", dir);
    command
}

/// Files that the qnet may open which runs short.
const FILES: &str = "--nofile=96:96";

#[test]
fn a_qnet_without_descriptors_refuses_newcomers_and_keeps_who_is_there() {
    in_namespace("shortage::inside_few_descriptors");
}

// covers: CHN-6
#[test]
#[ignore = "run by a_qnet_without_descriptors_refuses_newcomers_and_keeps_who_is_there in its namespace"]
fn inside_few_descriptors() {
    make_veth(1500);
    let root = tempfile::tempdir().unwrap();
    let node = |interface: &str, name: &str, is_short: bool| {
        let dir = root.path().join(name);
        fs::create_dir(&dir).unwrap();
        let server = start(role("server::role_server", &dir));
        let mut short = Command::new("prlimit");
        short
            .args([FILES, env!("CARGO_BIN_EXE_qnet")])
            .env("QNET_RUNTIME_DIR", &dir);
        let mut command = if is_short { short } else { qnet(&dir, &[]) };
        command.args([
            "--interface",
            interface,
            "--name",
            name,
            "--map",
            "identity",
        ]);
        let qnet = start(command);
        TestNode { dir, server, qnet }
    };
    for (short_client, short_server) in [(true, false), (false, true)] {
        let names = if short_client {
            ["one", "two"]
        } else {
            ["three", "four"]
        };
        let client = node("va", names[0], short_client);
        let _server = node("vb", names[1], short_server);
        ipc_core::set_runtime_dir(client.dir.clone());
        let nd = resolve(client.qnet.pid(), names[1]).unwrap();
        let first = attach(nd);
        echo(&first, 100, 1);
        let (held, refused) = fill(nd);
        assert!(
            [Errno::EAGAIN, Errno::EMFILE].contains(&refused),
            "{refused:?} after {}",
            held.len()
        );
        assert!(held.len() < 96, "{}", held.len());
        // Who is there goes on.
        echo(&first, 100_000, 2);
        held.iter().for_each(|held| echo(held, 100, 3));
        // Who goes makes room.
        let count = held.len();
        drop(held);
        until("there is room again", || {
            let connection = Connection::attach(
                nd,
                ipc_core::abi::Pid::PROCMGR,
                ipc_core::abi::Chid::PROCMGR,
            );
            connection.is_ok_and(|connection| connection.send(b"who am I?", &mut [0; 64]).is_ok())
        });
        let (again, _) = fill(nd);
        assert!(again.len() + 8 >= count, "{} of {count}", again.len());
        echo(&first, 100, 4);
    }
}

/// Connections to a node that have been answered once, until one more is refused, and with what.
fn fill(nd: Nd) -> (Vec<Connection>, Errno) {
    let mut held = Vec::new();
    loop {
        let connection = Connection::attach(
            nd,
            ipc_core::abi::Pid::PROCMGR,
            ipc_core::abi::Chid::PROCMGR,
        );
        match connection.and_then(|connection| {
            connection.send(b"who am I?", &mut [0; 64])?;
            Ok(connection)
        }) {
            Ok(connection) => held.push(connection),
            Err(errno) => return (held, errno),
        }
        assert!(held.len() < 1000, "nobody is refused");
    }
}
