//! The process manager as a process: registration, resolution, death of either side, hostile messages.
//!
//! Each test has a node of its own and runs in a process of its own, because a process belongs to one node:
//! it is the ignored test of the same name in another file of this folder, started with the node's runtime directory.

mod deaths;
mod hello;
mod node;
mod paths;
mod refused;
mod stopped;
mod tables;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, chown, geteuid},
};
use node::run_inside;

/// The default directory depends on the user, and root's is the machine's own: root becomes somebody else.
#[test]
fn the_default_directory_goes_when_nothing_is_left_in_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The build folder may be below /root.
    let program = folder.path().join("procmgr");
    fs::copy(env!("CARGO_BIN_EXE_procmgr"), &program).unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    for leftover in [false, true] {
        let mut command = Command::new(&program);
        if geteuid().is_root() {
            chown(&home, Some(4242.into()), Some(4242.into())).unwrap();
            command.uid(4242).gid(4242);
        }
        command
            .env_remove("QNET_RUNTIME_DIR")
            .env("XDG_RUNTIME_DIR", &home);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.as_mut().unwrap());
        out.read_line(&mut line).unwrap();
        let dir = home.join("qnet");
        assert!(line.starts_with("ready: ") && dir.is_dir(), "{line:?}");
        if leftover {
            fs::write(dir.join("of-another"), "").unwrap();
        }
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(dir.exists(), leftover);
        assert!(Path::new(&home).exists());
    }
}

macro_rules! tests {
    ($module:ident: $($name:ident)*) => {$(
        #[test]
        fn $name() {
            run_inside(concat!(stringify!($module), "::", stringify!($name)));
        }
    )*};
}

tests! { paths:
    a_registered_prefix_is_found_and_read
    what_is_dropped_is_taken_back
    the_process_manager_lists_what_lies_above_the_prefixes
    many_threads_open_read_and_close_at_once
    servers_that_lead_in_a_circle_are_eloop
    a_symbolic_link_starts_again_at_the_process_manager
}

tests! { deaths:
    a_dead_servers_prefixes_vanish
    servers_register_again_when_the_process_manager_comes_back
    open_files_outlive_the_process_manager
}

tests! { tables:
    names_are_found_without_a_message_to_their_server
    tables_say_who_is_blocked_on_whom
}

tests! { refused:
    without_a_process_manager_the_error_says_how_to_start_it
    malformed_messages_are_answered_and_survived
    a_second_process_manager_is_refused
    other_users_register_names_only
}

tests! { stopped:
    a_process_manager_that_is_stopped_holds_up_no_registration_but_the_one_that_asks
    a_stopped_process_manager_that_dies_is_replaced_and_knows_nothing_that_was_dropped
}
