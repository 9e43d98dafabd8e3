//! Everyone who takes part in a transfer is killed in the middle of it: the others get an errno, nobody
//! hangs, and what is started again works without anything cleaned up by hand.
//!
//! No test here limits a time; a part that hangs keeps its test, and whoever runs the tests limits that.

mod support;

use std::io::Read;
use std::thread;
use std::time::Duration;

use ipc_core::abi::Errno;
use ipc_core::file::{self, File};
use nix::sys::signal::Signal;
use tools::netlab::{Cut, Lab};

use support::{Running, lab, part, setting, text, transfer, until};

/// Bytes of a write: several frames.
const CHUNK_LEN: usize = 256 * 1024;
/// What a caller may be told when the other side is gone.
const GONE: [&str; 6] = [
    "ESRCH",
    "EBADF",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENETDOWN",
    "EIO",
];

#[test]
#[ignore = "run by the tests here as the part of magenta: a transfer without end"]
fn part_transfer() {
    transfer::run();
}

/// Opens, writes, reads back and closes once, and says what came of it.
#[test]
#[ignore = "run by the tests here as the part of magenta: one small file"]
fn part_once() {
    let path = format!("/net/wintermute/home/{}", setting("NAME"));
    let outcome = file::write(&path, b"once").and_then(|()| file::read(&path));
    match outcome {
        Ok(bytes) => println!("outcome {}", String::from_utf8_lossy(&bytes)),
        Err(errno) => println!("outcome {errno:?}"),
    }
}

/// The errno with which a transfer ends.
fn ending(running: &mut Running) -> String {
    let said = running.next("ended");
    println!("the transfer ended with {said}");
    assert!(running.wait().success());
    said.split_whitespace().next().expect("an errno").to_owned()
}

fn once(lab: &Lab) -> String {
    let said = text(part(lab, "magenta", "part_once").env("NAME", "once"));
    let outcome = said.lines().find_map(|line| line.split_once("outcome "));
    outcome
        .unwrap_or_else(|| panic!("the part says what came of it: {said}"))
        .1
        .to_owned()
}

/// Everything works again, perhaps after a moment.
fn recovers(lab: &Lab) {
    until(|| {
        let outcome = once(lab);
        (outcome == "once").then_some(()).or_else(|| {
            println!("not yet: {outcome}");
            None
        })
    });
    transfer::start(lab).kill();
}

fn is_gone(errno: &str) -> bool {
    GONE.contains(&errno)
}

/// covers: DTH-1, DTH-2, NET-5
#[test]
fn the_server_is_killed() {
    let Some(lab) = lab(&[]) else { return };
    let mut running = transfer::start(&lab);
    lab.kill("wintermute", "fs-export", Signal::SIGKILL)
        .expect("it runs");
    let errno = ending(&mut running);
    assert!(is_gone(&errno), "{errno}");
    assert_ne!(once(&lab), "once", "nobody serves /home");
    lab.restart("wintermute", "fs-export")
        .expect("nothing is in its way");
    recovers(&lab);
}

/// covers: DTH-1, DTH-2, RMG-2
#[test]
fn the_client_is_killed() {
    let Some(lab) = lab(&[]) else { return };
    let mut running = transfer::start(&lab);
    running.kill();
    let dir = lab.dir("wintermute").expect("there is such a node");
    let status = lab.status().expect("it runs");
    let server = status.nodes[1]
        .daemons
        .iter()
        .find(|daemon| daemon.name == "fs-export");
    let pid = server.and_then(|daemon| daemon.pid).expect("it lives on");
    let file = dir.join("home/file").display().to_string();
    // The server learns of the death, and closes the file.
    until(|| {
        // A descriptor may be gone between its listing and its reading.
        let script = format!("readlink /proc/{pid}/fd/*; true");
        let open = text(lab.exec("wintermute", "sh").args(["-c", &script]));
        (!open.lines().any(|path| path == file)).then_some(())
    });
    recovers(&lab);
}

/// covers: DTH-2
#[test]
fn the_near_process_manager_is_killed() {
    a_process_manager_is_killed("magenta");
}

/// covers: DTH-2
#[test]
fn the_far_process_manager_is_killed() {
    a_process_manager_is_killed("wintermute");
}

/// What is connected stays connected; what wants to connect is told; servers come back by themselves.
fn a_process_manager_is_killed(node: &str) {
    let Some(lab) = lab(&[]) else { return };
    let mut running = transfer::start(&lab);
    lab.kill(node, "procmgr", Signal::SIGKILL).expect("it runs");
    transfer::go_on(&mut running);
    assert_ne!(once(&lab), "once", "nobody knows whose /net or /home is");
    lab.restart(node, "procmgr").expect("nothing is in its way");
    recovers(&lab);
    transfer::go_on(&mut running);
    running.kill();
}

/// covers: NET-5, DTH-2
#[test]
fn the_near_qnet_is_killed() {
    a_qnet_is_killed("magenta");
}

/// covers: NET-5, DTH-2
#[test]
fn the_far_qnet_is_killed() {
    a_qnet_is_killed("wintermute");
}

fn a_qnet_is_killed(node: &str) {
    let Some(lab) = lab(&[]) else { return };
    let mut running = transfer::start(&lab);
    lab.kill(node, "qnet", Signal::SIGKILL).expect("it runs");
    let errno = ending(&mut running);
    assert!(is_gone(&errno), "{errno}");
    assert_ne!(once(&lab), "once", "there is no way to wintermute");
    lab.restart(node, "qnet").expect("nothing is in its way");
    recovers(&lab);
}

/// covers: NET-5
#[test]
fn the_cable_is_pulled() {
    let Some(lab) = lab(&[]) else { return };
    for cut in [Cut::Link, Cut::Both, Cut::From, Cut::To] {
        let mut running = transfer::start(&lab);
        lab.cut("wintermute", cut).expect("there is such a node");
        let errno = ending(&mut running);
        assert!(is_gone(&errno), "{cut:?}: {errno}");
        lab.heal("wintermute").expect("there is such a node");
        recovers(&lab);
    }
}

/// A cut shorter than the tolerance is bridged: covers NET-4.
#[test]
fn a_loose_contact_is_bridged() {
    let Some(lab) = lab(&["--qnet-option=--tolerance-ms=60000"]) else {
        return;
    };
    let mut running = transfer::start(&lab);
    lab.cut("wintermute", Cut::Both)
        .expect("there is such a node");
    thread::sleep(Duration::from_millis(400));
    lab.heal("wintermute").expect("there is such a node");
    transfer::go_on(&mut running);
    running.kill();
}

/// What the client is told when the disk is full is what the disk said.
#[test]
fn a_full_disk_is_enospc_at_the_client() {
    let Some(lab) = lab(&[]) else { return };
    let full = lab
        .dir("wintermute")
        .expect("there is such a node")
        .join("full");
    let script = "mkdir $0 && mount -t tmpfs -o size=1m full $0 && chmod 1777 $0";
    text(lab.exec("wintermute", "sh").args(["-c", script]).arg(&full));
    let program = tools::netlab::Programs::find()
        .expect("the lab runs them")
        .path("fs-export");
    let command = [program, full.clone(), "/full".into()].map(|part| part.display().to_string());
    lab.serve("wintermute", "fs-full", command.to_vec())
        .expect("it serves /full");
    let said = text(&mut part(&lab, "magenta", "part_fill"));
    assert!(said.contains("ended ENOSPC"), "{said}");
    let mut kept = String::new();
    let mut file = lab
        .open("wintermute", "home/small")
        .expect("the other disk took it");
    file.read_to_string(&mut kept).expect("text");
    assert_eq!(kept, "fits");
}

#[test]
#[ignore = "run by the tests here as the part of magenta: more than fits"]
fn part_fill() {
    let file = File::create("/net/wintermute/full/big").expect("wintermute serves /full");
    let chunk = vec![1; CHUNK_LEN];
    let errno = (0..64)
        .find_map(|_| file.write(&chunk).err())
        .expect("the disk is small");
    println!("ended {errno:?}");
    assert_eq!(errno, Errno::ENOSPC);
    file::write("/net/wintermute/home/small", b"fits").expect("the other disk has room");
}
