//! A runtime directory without room for one more name: an errno that says so, and everything works again when there is
//! some.

use std::path::Path;

use ipc_core::{
    Channel, Connection,
    abi::{ChannelFlags, Errno, Nd, Pid},
    set_runtime_dir,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::{
    child::{self, Child, say},
    server::{Server, must_echo},
};

#[test]
fn a_server_without_room_for_its_name_gets_enospc_and_can_go_on_later() {
    // Made here: where it is mounted upon, it cannot be removed.
    let dir = tempfile::tempdir().expect("there is room");
    let mut child = Child::start("room::inside_a_full_directory", dir.path().display());
    let said = child.said();
    if said != "done" {
        println!("skipped: no file system of its own: {said}");
    }
    child.end();
}

#[test]
#[ignore = "run by a_server_without_room_for_its_name_gets_enospc_and_can_go_on_later"]
fn inside_a_full_directory() {
    let argument = child::argument();
    let dir = Path::new(&argument);
    match limit(dir) {
        Ok(()) => try_in(dir),
        Err(error) => say(error),
    }
    child::wait_for_parent();
}

/// Mounts a file system for nothing but its own root, which only this process sees.
fn limit(dir: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let (kind, options) = (Some("tmpfs"), Some("nr_inodes=1"));
    mount(kind, dir, kind, MsFlags::empty(), options)
}

fn try_in(dir: &Path) {
    set_runtime_dir(dir.to_owned());
    // For nothing, for one file, and so on: a name takes more than one.
    let mut refused = 0;
    let channel = loop {
        match Channel::create(ChannelFlags::empty()) {
            Ok(channel) => break channel,
            Err(error) => assert_eq!(error, Errno::ENOSPC),
        }
        refused += 1;
        let more = format!("nr_inodes={}", 1 + refused);
        let again = MsFlags::MS_REMOUNT;
        mount(None::<&str>, dir, None::<&str>, again, Some(&*more)).expect("it may have more");
    };
    assert!(refused > 0);
    drop(channel);
    let server = Server::start();
    must_echo(&Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it is found"));
    say("done");
}
