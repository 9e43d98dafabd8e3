//! The filesystem manager as a process: whose rights count, how it starts and ends.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use node::{Node, said};

/// A user that is nobody in particular.
const USER: u32 = 4242;
/// Its group.
const GROUP: u32 = 4343;

fn as_user(node: &Node, program: &str, arguments: &[&str]) -> Output {
    node.preloaded(program)
        .args(arguments)
        .uid(USER)
        .gid(GROUP)
        .output()
        .unwrap()
}

fn refused(output: &Output) -> bool {
    !output.status.success()
        && String::from_utf8_lossy(&output.stderr).contains("Permission denied")
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root, to be a client of another user");
    }
    root
}

fn file(node: &Node, name: &str, mode: u32, group: u32) {
    let path = node.host().join(name);
    fs::write(&path, name).unwrap();
    std::os::unix::fs::chown(&path, Some(0), Some(group)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_client_may_what_its_user_may_and_no_more() {
    if !is_root() {
        return;
    }
    let node = Node::start();
    file(&node, "secret", 0o600, 0);
    file(&node, "shared", 0o640, GROUP);
    file(&node, "public", 0o644, 0);
    fs::create_dir(node.host().join("open")).unwrap();
    fs::set_permissions(node.host().join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let _export = node.export("/qnet-test");

    assert!(refused(&as_user(&node, "cat", &["/qnet-test/secret"])));
    assert_eq!(
        as_user(&node, "cat", &["/qnet-test/shared"]).stdout,
        b"shared"
    );
    assert_eq!(
        as_user(&node, "cat", &["/qnet-test/public"]).stdout,
        b"public"
    );
    assert!(refused(&as_user(
        &node,
        "cp",
        &["/qnet-test/public", "/qnet-test/new"]
    )));
    assert!(refused(&as_user(&node, "rm", &["-f", "/qnet-test/public"])));
    let chmod = as_user(&node, "chmod", &["777", "/qnet-test/public"]);
    assert!(!chmod.status.success(), "{}", said(&chmod));

    let made = as_user(&node, "cp", &["/qnet-test/public", "/qnet-test/open/mine"]);
    assert!(made.status.success(), "{}", said(&made));
    let owner = fs::metadata(node.host().join("open/mine")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (USER, GROUP));

    // The same threads serve root again.
    let output = node
        .preloaded("cat")
        .arg("/qnet-test/secret")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"secret", "{}", said(&output));
}

#[test]
fn it_stops_when_told_and_leaves_nothing() {
    let node = Node::start();
    let before = names(&node);
    let export = node.export("/qnet-test");
    assert_ne!(names(&node), before);
    assert_eq!(export.stop().code(), Some(0));
    assert_eq!(names(&node), before);
}

fn names(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(node.runtime()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn who_serves_a_prefix_besides_others_says_so() {
    let node = Node::start();
    let log = |name: &str| {
        let path = node.folder().join(name);
        let mut command = node.export_command("/qnet-test");
        command.stderr(fs::File::create(&path).unwrap());
        let export = node.daemon(command);
        let told = fs::read_to_string(path).unwrap();
        (export, told)
    };
    let (first, told) = log("first");
    assert!(!told.contains("already"), "{told}");
    let (_second, told) = log("second");
    let hidden = format!("/qnet-test is served by process {} already", first.id());
    assert!(
        told.contains(&hidden) && told.contains("qn names"),
        "{told}"
    );
}

#[test]
fn what_stands_in_the_way_is_said_with_what_mends_it() {
    let node = Node::without_process_manager();
    let output = node.export_command("/qnet-test").output().unwrap();
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains("procmgr"),
        "{text}"
    );

    let mut missing = Command::new(env!("CARGO_BIN_EXE_fs-export"));
    missing
        .args(["/nonexistent", "/qnet-test"])
        .env("QNET_RUNTIME_DIR", node.runtime());
    let output = missing.output().unwrap();
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains("ls -ld /nonexistent"),
        "{text}"
    );
}
