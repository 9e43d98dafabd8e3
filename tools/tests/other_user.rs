//! What a user who owns neither the node nor the files is told.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use node::{Node, said};

const NOBODY: u32 = 65534;

/// What a program of this package tells nobody, to whom it must refuse `arguments`.
fn refused(node: &Node, program: &str, arguments: &[&str]) -> String {
    // Where the programs are built, others may not be allowed to look.
    let copy = node.folder().join(Path::new(program).file_name().unwrap());
    fs::copy(program, &copy).unwrap();
    let mut command = Command::new(copy);
    command
        .args(arguments)
        .env("QNET_RUNTIME_DIR", node.runtime());
    let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn who_may_not_is_told_why_and_who_can_change_it() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root becomes another user");
    }
    let node = Node::start();
    fs::set_permissions(node.runtime(), fs::Permissions::from_mode(0o1777)).unwrap();
    let _home = node.export("/home");
    let secret = node.host().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(node.host(), fs::Permissions::from_mode(0o755)).unwrap();

    let qn = env!("CARGO_BIN_EXE_qn");
    for (arguments, words) in [
        (
            &["cat", "/home/secret"][..],
            ["[EACCES]", "/home/secret belongs to user 0", "mode 0600"],
        ),
        (
            &["cp", "host:/etc/passwd", "/home/new"],
            ["[EACCES]", "/home belongs to user 0", "this is user 65534"],
        ),
        (
            &["rm", "/home/secret"],
            ["[EACCES]", "user 0 and group 0", "or root, can change it"],
        ),
    ] {
        let told = refused(&node, qn, arguments);
        for word in words {
            assert!(told.contains(word), "{arguments:?}: {word}: {told}");
        }
    }
    let told = refused(&node, env!("CARGO_BIN_EXE_fs-export"), &["/usr", "/share"]);
    for word in ["cannot register /share", "EPERM", "procmgr --config FILE"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let told = refused(&node, env!("CARGO_BIN_EXE_procmgr"), &[]);
    assert!(told.contains("belongs to another user"), "{told}");
}
