//! What a service manager sees of the daemons.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::{os::unix::net::UnixDatagram, process::Command, time::Duration};

use node::Node;

/// Longer than any daemon takes to tell; a test that waits so long has failed.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn daemons_tell_a_service_manager_that_they_are_ready_and_that_they_stop() {
    let node = Node::without_process_manager();
    let path = node.folder().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TOLD_WITHIN)).unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let len = manager.recv(&mut bytes).expect("the daemon tells");
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };

    let start = |mut command: Command| {
        command.env("NOTIFY_SOCKET", &path);
        node.daemon(command)
    };
    let procmgr = start(Command::new(env!("CARGO_BIN_EXE_procmgr")));
    assert!(told().starts_with("READY=1\nSTATUS=procmgr on "));
    let export = start(node.export_command("/home"));
    assert!(told().starts_with("READY=1\nSTATUS=fs-export "));

    for daemon in [export, procmgr] {
        assert!(daemon.stop().success());
        assert_eq!(told(), "STOPPING=1\nSTATUS=stopping: SIGTERM\n");
    }
}
