//! What is refused, and what it says.

use std::{os::unix::process::CommandExt, process::Stdio};

use ipc_core::{
    Channel, Connection,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, proc::PrefixFlags},
    file::{self, File},
    proc::attach_prefix,
};

use crate::{
    hello::{TEXT, serve},
    node::{Procmgr, dir, is_root, names, own_test, qn},
};

const DIR: PrefixFlags = PrefixFlags::DIR;

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
    let output = own_test("refused::registers_as_nobody")
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
