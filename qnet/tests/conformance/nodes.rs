//! Two nodes that all tests of a binary share, kept up by a process of their own, which ends when this one does.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use ipc_core::{
    Alias, Channel, Connection, Received,
    abi::{
        ChannelFlags, Chid, Errno, Nd, Pid,
        io::{Connect, Redirect, RedirectServer, Subtype},
        proc::{PrefixFlags, RegistrationId, message_type, peek_type},
    },
    claim_alias, set_runtime_dir,
};

use crate::suite::TwoNodes;

/// The channel on which qnet's resource-manager thread answers: its second.
const NET: Chid = Chid(2);

/// The nodes' names: the client's and the server's.
pub(crate) const NAMES: [&str; 2] = ["magenta", "wintermute"];

/// How long a node may be silent. On a busy machine one that lives may be, and no test here has one die.
pub(crate) const TOLERANCE_MS: u64 = 10_000;

/// A node that has not answered after so long never does.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Has `command` run the ignored test `role` of this binary, which [`keep`]s the two nodes up.
pub(crate) fn started_by(mut command: Command, role: &str) -> TwoNodes {
    // As long as this end of its input is open, the wire is up.
    static WIRE: OnceLock<Child> = OnceLock::new();
    let mut wire = command
        .args(["--exact", role, "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(wire.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| Some(line.ok()?.split_once("ready: ")?.1.to_owned()));
    let root = PathBuf::from(said.expect("the nodes start"));
    std::thread::spawn(move || lines.for_each(drop));
    WIRE.set(wire).unwrap();
    let dirs = NAMES.map(|name| root.join(name));
    // What the nodes call each other; the server's first, so that this process ends as a client.
    let back = resolve(&dirs[1], NAMES[0]);
    let nd = resolve(&dirs[0], NAMES[1]);
    let [client_dir, server_dir] = dirs;
    TwoNodes {
        nd,
        back,
        client_dir,
        server_dir,
    }
}

/// What the node of `dir` calls another, which may need longer to answer than one question lasts: carriers of new
/// interfaces come up to a second late, and machines are busy.
fn resolve(dir: &Path, name: &str) -> Nd {
    let qnet: i32 = fs::read_to_string(dir.join("qnet.pid"))
        .unwrap()
        .parse()
        .unwrap();
    set_runtime_dir(dir.to_owned());
    let manager = Connection::attach(Nd::LOCAL, Pid(qnet), NET).unwrap();
    let message = Connect::new(Subtype::ResolveNode, name.as_bytes());
    let message = message.encode().unwrap();
    let started = Instant::now();
    loop {
        match manager.send(&message, &mut []) {
            Ok(reply) => return Nd(reply.status as u32),
            Err(errno) => assert_eq!(errno, Errno::ENOENT),
        }
        assert!(started.elapsed() < GIVE_UP, "{name} never answers");
    }
}

/// Starts the two nodes and waits until the input ends. `qnet` makes the command of the node of this number.
pub(crate) fn keep(mut qnet: impl FnMut(usize) -> Command) {
    let root = tempfile::tempdir().unwrap();
    // Tests run processes of other users.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut processes: Vec<Child> = Vec::new();
    for (number, name) in NAMES.into_iter().enumerate() {
        let dir = root.path().join(name);
        fs::create_dir(&dir).unwrap();
        let mut manager = Command::new(env::current_exe().unwrap());
        manager.args(["--exact", "nodes::role_manager", "--ignored", "--nocapture"]);
        processes.push(start(manager.stdin(Stdio::null()), &dir));
        let qnet = start(&mut qnet(number), &dir);
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
    command.env("QNET_RUNTIME_DIR", dir).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("ready: ")));
    assert!(ready.is_some(), "{command:?} did not become ready");
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Plays a process manager to its node's qnet, which wants to register `/net`, and sends on whoever asks for it.
#[test]
#[ignore = "a role of this binary"]
fn role_manager() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    claim_alias(Alias::ProcessManager).unwrap();
    println!("ready: manager");
    let mut qnet = Pid(0);
    loop {
        let Received::Message(message) = channel.receive().unwrap() else {
            continue;
        };
        let bytes = message.read_vec(0, message.len()).unwrap_or_default();
        let _ = match (peek_type(&bytes), Connect::parse(&bytes)) {
            (Ok(message_type::REGISTER), _) => {
                qnet = message.client().pid;
                message.reply(0, &RegistrationId(1).to_reply())
            }
            (_, Ok(connect)) if connect.path.starts_with(b"/net") => {
                message.reply(Redirect::STATUS, &to_net(qnet, connect.path))
            }
            _ => message.reply(0, &[]),
        };
    }
}

/// The way of a path below `/net`.
fn to_net(qnet: Pid, path: &[u8]) -> Vec<u8> {
    let server = RedirectServer {
        nd: Nd::LOCAL,
        pid: qnet,
        chid: NET,
        handle: 0,
        flags: PrefixFlags::DIR.bits(),
        prefix_len: b"/net".len(),
        node_name: None,
    };
    let (servers, path) = (vec![server], path.to_vec());
    Redirect { servers, path }.encode().unwrap()
}
