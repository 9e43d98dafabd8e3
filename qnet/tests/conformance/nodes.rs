//! The two nodes that all tests of this binary share: one wire, kept up by a process in a namespace of its
//! own, which ends when this one does.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use ipc_core::{
    Alias, Channel, Connection, Received,
    abi::{
        ChannelFlags, Chid, Nd, Pid,
        io::{Connect, Subtype},
        proc::{RegistrationId, message_type, peek_type},
    },
    claim_alias, set_runtime_dir,
};

use crate::{
    suite::TwoNodes,
    support::{make_veth, unshared},
};

/// The channel on which qnet's resource-manager thread answers: its second.
const NET: Chid = Chid(2);

/// The nodes' names, each at its end of the wire.
const NODES: [(&str, &str); 2] = [("magenta", "va"), ("wintermute", "vb")];

/// Starts the two nodes; `None`, and says why, where the system does not permit that.
pub(crate) fn two_nodes() -> Option<TwoNodes> {
    // As long as this end of its input is open, the wire is up.
    static WIRE: OnceLock<Child> = OnceLock::new();
    let mut wire = unshared()?
        .arg(env::current_exe().unwrap())
        .args(["--exact", "nodes::role_wire", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(wire.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| Some(line.ok()?.split_once("ready: ")?.1.to_owned()));
    let root = PathBuf::from(said.expect("the nodes start"));
    std::thread::spawn(move || lines.for_each(drop));
    WIRE.set(wire).unwrap();
    let dirs = NODES.map(|(name, _)| root.join(name));
    // What the nodes call each other; the server's first, so that this process ends as a client.
    let back = resolve(&dirs[1], NODES[0].0);
    let nd = resolve(&dirs[0], NODES[1].0);
    let [client_dir, server_dir] = dirs;
    Some(TwoNodes {
        nd,
        back,
        client_dir,
        server_dir,
    })
}

fn resolve(dir: &Path, name: &str) -> Nd {
    let qnet: i32 = fs::read_to_string(dir.join("qnet.pid"))
        .unwrap()
        .parse()
        .unwrap();
    set_runtime_dir(dir.to_owned());
    let manager = Connection::attach(Nd::LOCAL, Pid(qnet), NET).unwrap();
    let message = Connect::new(Subtype::ResolveNode, name.as_bytes());
    let reply = manager.send(&message.encode().unwrap(), &mut []).unwrap();
    Nd(reply.status as u32)
}

/// The wire and the two nodes on it, until the input ends.
#[test]
#[ignore = "a role of this binary: what its tests run between"]
fn role_wire() {
    make_veth(1500);
    let root = tempfile::tempdir().unwrap();
    // Tests run processes of other users.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut processes: Vec<Child> = Vec::new();
    for (name, interface) in NODES {
        let dir = root.path().join(name);
        fs::create_dir(&dir).unwrap();
        let mut manager = Command::new(env::current_exe().unwrap());
        manager.args(["--exact", "nodes::role_manager", "--ignored", "--nocapture"]);
        processes.push(start(&mut manager, &dir));
        let mut qnet = Command::new(env!("CARGO_BIN_EXE_qnet"));
        qnet.args(["--interface", interface, "--name", name]).args([
            "--map",
            "identity",
            "--log-level",
            "error",
        ]);
        let qnet = start(&mut qnet, &dir);
        fs::write(dir.join("qnet.pid"), qnet.id().to_string()).unwrap();
        processes.push(qnet);
    }
    println!("ready: {}", root.path().display());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    for mut process in processes {
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn start(command: &mut Command, dir: &Path) -> Child {
    command
        .env("QNET_RUNTIME_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("ready: ")));
    assert!(ready.is_some(), "{command:?} did not become ready");
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Plays a process manager to its node's qnet, which wants to register `/net`.
#[test]
#[ignore = "a role of this binary"]
fn role_manager() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    claim_alias(Alias::ProcessManager).unwrap();
    println!("ready: manager");
    loop {
        let Received::Message(message) = channel.receive().unwrap() else {
            continue;
        };
        let bytes = message.read_vec(0, message.len()).unwrap_or_default();
        let _ = match peek_type(&bytes) {
            Ok(message_type::REGISTER) => message.reply(0, &RegistrationId(1).to_reply()),
            _ => message.reply(0, &[]),
        };
    }
}
