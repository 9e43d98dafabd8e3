//! Two qnets on a veth pair, with a client on one node and a server on the other.
//!
//! Each node is a runtime directory and one end of the pair; both ends are in one network namespace that
//! the test makes. The process manager of each node is a stand-in: a server that takes registrations and
//! echoes everything else. The same binary plays all roles, as ignored tests in child processes.

mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ipc_core::{
    Alias, Channel, Connection, Received, ReceivedMessage, Timeout,
    abi::{
        ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Rcvid,
        io::{Connect, ConnectAnswer, Redirect, RedirectServer, Subtype},
        proc::{PrefixFlags, ProcMessage, RegistrationId, message_type, peek_type},
    },
    claim_alias, file, set_runtime_dir,
};
use support::{in_namespace, ip, make_veth};

/// The channel on which qnet's resource-manager thread answers: its second.
const NET: Chid = Chid(2);

/// A child process that is killed when the test ends, however it does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn pid(&self) -> Pid {
        Pid(self.0.id().cast_signed())
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid().0), signal).unwrap();
    }
}

/// A node: its runtime directory, its stand-in for a process manager, its qnet.
struct TestNode {
    dir: PathBuf,
    server: Process,
    qnet: Process,
}

fn start(mut command: Command) -> Process {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let process = Process(child);
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("ready: ")));
    assert!(ready.is_some(), "{command:?} did not become ready");
    // The rest of its output must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    process
}

fn role(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("QNET_RUNTIME_DIR", dir);
    command
}

fn start_qnet(dir: &Path, interface: &str, name: &str, more: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qnet"));
    command
        .args([
            "--interface",
            interface,
            "--name",
            name,
            "--map",
            "identity",
        ])
        .args(["--resolve-timeout-ms", "300", "--log-level", "debug"])
        .args(more)
        .env("QNET_RUNTIME_DIR", dir);
    start(command)
}

impl TestNode {
    fn start(root: &Path, interface: &str, name: &str, more: &[&str]) -> TestNode {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        let server = start(role("role_server", &dir));
        let qnet = start_qnet(&dir, interface, name, more);
        TestNode { dir, server, qnet }
    }
}

/// Plays the process manager: takes registrations, echoes everything else. Its second channel keeps
/// clients that want out until it has answered.
#[test]
#[ignore = "a role in the tests of two nodes"]
fn role_server() {
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    claim_alias(Alias::ProcessManager).unwrap();
    let stubborn = Channel::create(ChannelFlags::UNBLOCK).unwrap();
    std::thread::spawn(move || be_stubborn(&stubborn));
    println!("ready: server");
    let mut seen = Seen::default();
    loop {
        match channel.receive().unwrap() {
            Received::Message(message) => serve(message, &mut seen),
            Received::Pulse(pulse) if pulse.code.is_application() => {
                seen.pulsed.push(pulse.value);
            }
            Received::Pulse(pulse) => {
                seen.gone += 1;
                channel.detach_client(pulse.scoid).unwrap();
            }
        }
    }
}

/// Answers nobody before it wants out, and then with a status.
fn be_stubborn(channel: &Channel) {
    loop {
        match channel.receive().unwrap() {
            Received::Message(message) => drop(message.into_rcvid()),
            Received::Pulse(pulse) => {
                assert_eq!(pulse.code, PulseCode::UNBLOCK);
                channel.reply(Rcvid(pulse.value), 77, b"after all").unwrap();
            }
        }
    }
}

/// What the stand-in for a process manager remembers.
#[derive(Default)]
struct Seen {
    /// Clients that have gone.
    gone: i64,
    /// The values of the pulses that came.
    pulsed: Vec<i64>,
    /// Who registered `/net`.
    net: Option<(Pid, Chid)>,
}

/// Sends a client that asks for something below `/net` on to who registered it.
fn redirect(message: ReceivedMessage, connect: &Connect<'_>, net: Option<(Pid, Chid)>) {
    let answered = match net {
        Some((pid, chid)) if connect.path.starts_with(b"/net") => {
            let server = RedirectServer {
                nd: Nd::LOCAL,
                pid,
                chid,
                handle: 0,
                flags: PrefixFlags::DIR.bits(),
                prefix_len: b"/net".len(),
                node_name: None,
            };
            let (servers, path) = (vec![server], connect.path.to_vec());
            let bytes = Redirect { servers, path }.encode().unwrap();
            message.reply(Redirect::STATUS, &bytes)
        }
        _ => message.error(Errno::ENOENT),
    };
    answered.unwrap();
}

fn serve(message: ReceivedMessage, seen: &mut Seen) {
    let bytes = message.read_vec(0, message.len()).unwrap();
    if let Ok(connect) = Connect::parse(&bytes) {
        return redirect(message, &connect, seen.net);
    }
    if let Ok(ProcMessage::Register(register)) = ProcMessage::parse(&bytes) {
        seen.net = Some((message.client().pid, register.chid));
    }
    let (gone, pulsed) = (seen.gone, format!("{:?}", seen.pulsed));
    let _ = match (peek_type(&bytes), bytes.as_slice()) {
        (Ok(message_type::REGISTER), _) => message.reply(0, &RegistrationId(1).to_reply()),
        (_, b"who am I?") => {
            let client = message.client();
            let answer = format!("{} {} {}", client.nd, client.pid, client.credentials.uid);
            message.reply(0, answer.as_bytes())
        }
        (_, b"whose?") => {
            let answer = format!("{} {}", Pid::current(), message.client().nd);
            message.reply(0, answer.as_bytes())
        }
        (_, b"which pulses?") => message.reply(0, pulsed.as_bytes()),
        (_, b"how many have gone?") => message.reply(gone, b""),
        (_, b"in pieces") => {
            message.write(20, b"later").unwrap();
            message.write(8, b"before").unwrap();
            message.reply(3, b"now")
        }
        (_, b"fail") => message.error(Errno::ENOSPC),
        (_, b"never") => {
            message.into_rcvid();
            Ok(())
        }
        _ => message.reply(bytes.len() as i64, &bytes),
    };
}

fn resolve(qnet: Pid, name: &str) -> Result<Nd, Errno> {
    let manager = Connection::attach(Nd::LOCAL, qnet, NET)?;
    let message = Connect::new(Subtype::ResolveNode, name.as_bytes()).encode()?;
    let reply = manager.send(&message, &mut [])?;
    Ok(Nd(reply.status as u32))
}

fn attach(nd: Nd) -> Connection {
    Connection::attach(nd, Pid::PROCMGR, Chid::PROCMGR).unwrap()
}

fn echo(connection: &Connection, len: usize, salt: u8) {
    let message: Vec<u8> = (0..len)
        .map(|i| (i * 31) as u8 ^ (i >> 8) as u8 ^ salt)
        .collect();
    let mut reply = vec![0; len];
    let answer = connection.send(&message, &mut reply).unwrap();
    assert_eq!((answer.status, answer.len), (len as i64, len));
    assert!(message == reply, "{len} bytes came back changed");
}

/// Makes two nodes and, on this process's side, a client of the first.
fn two_nodes(mtu: usize, more: &[&str]) -> (tempfile::TempDir, TestNode, TestNode) {
    make_veth(mtu);
    let root = tempfile::tempdir().unwrap();
    let magenta = TestNode::start(root.path(), "va", "magenta", more);
    let wintermute = TestNode::start(root.path(), "vb", "wintermute", more);
    set_runtime_dir(magenta.dir.clone());
    (root, magenta, wintermute)
}

#[test]
fn messages_of_every_size_come_back() {
    in_namespace("inside_every_size");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back in its namespace"]
fn inside_every_size() {
    every_size(1500, &[]);
}

#[test]
fn messages_of_every_size_come_back_over_jumbo_frames() {
    in_namespace("inside_every_size_jumbo");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_over_jumbo_frames in its namespace"]
fn inside_every_size_jumbo() {
    every_size(9000, &[]);
}

#[test]
fn messages_of_every_size_come_back_over_the_longest_frames() {
    in_namespace("inside_every_size_longest");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_over_the_longest_frames in its namespace"]
fn inside_every_size_longest() {
    every_size(65_535, &[]);
}

// covers: NET-4
#[test]
fn messages_of_every_size_come_back_in_the_longest_frames_over_a_bad_wire() {
    in_namespace("inside_every_size_longest_bad_wire");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_in_the_longest_frames_over_a_bad_wire in its namespace"]
fn inside_every_size_longest_bad_wire() {
    every_size(
        65_535,
        &["--faults", "loss=0.05,dup=0.05,reorder=0.05,seed=12"],
    );
}

// covers: NET-4 RMG-5
#[test]
fn messages_of_every_size_come_back_over_a_bad_wire() {
    in_namespace("inside_every_size_bad_wire");
}

#[test]
#[ignore = "run by messages_of_every_size_come_back_over_a_bad_wire in its namespace"]
fn inside_every_size_bad_wire() {
    every_size(
        1500,
        &["--faults", "loss=0.05,dup=0.02,reorder=0.05,seed=11"],
    );
}

fn every_size(mtu: usize, more: &[&str]) {
    let (_root, magenta, _wintermute) = two_nodes(mtu, more);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    assert!(!nd.is_local());
    assert_eq!(resolve(magenta.qnet.pid(), "magenta"), Ok(Nd::LOCAL));
    let connection = attach(nd);
    for (salt, len) in [
        0,
        1,
        60,
        1400,
        1500,
        16 << 10,
        (16 << 10) + 1,
        100_000,
        1 << 20,
        16 << 20,
    ]
    .into_iter()
    .enumerate()
    {
        echo(&connection, len, salt as u8);
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let connection = &connection;
            scope.spawn(move || (0..50).for_each(|i| echo(connection, i * 97, thread)));
        }
    });
    assert_eq!(
        connection.send(b"fail", &mut []).unwrap_err(),
        Errno::ENOSPC
    );
    let mut pieces = [b'.'; 32];
    assert_eq!(
        connection.send(b"in pieces", &mut pieces).unwrap().status,
        3
    );
    assert_eq!(&pieces[..3], b"now");
    assert_eq!(
        (&pieces[8..14], &pieces[20..25]),
        (&b"before"[..], &b"later"[..])
    );
    let mut who = [0; 64];
    let len = connection.send(b"who am I?", &mut who).unwrap().len;
    let uid = nix::unistd::geteuid();
    let expected = format!("1 {} {uid}", Pid::current());
    assert_eq!(String::from_utf8_lossy(&who[..len]), expected);
}

#[test]
fn paths_lead_to_the_other_node_and_unknown_names_to_enoent() {
    in_namespace("inside_paths");
}

// covers: PTH-7
#[test]
#[ignore = "run by paths_lead_to_the_other_node_and_unknown_names_to_enoent in its namespace"]
fn inside_paths() {
    let (root, magenta, _wintermute) = two_nodes(1500, &[]);
    let names = || {
        let entries = file::read_dir("/net").unwrap();
        entries.map(|entry| entry.unwrap().name).collect::<Vec<_>>()
    };
    assert_eq!(file::stat("/net/straylight/home"), Err(Errno::ENOENT));
    resolve(magenta.qnet.pid(), "wintermute").unwrap();
    assert_eq!(names(), ["magenta", "wintermute"]);
    assert!(file::write("/net", b"x").is_err());
    let report = file::read("/net/.stats").unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["node"], "magenta");
    assert_eq!(report["nodes"][0]["name"], "wintermute");
    assert!(report["link"]["frames_sent"].as_u64().unwrap() > 0);

    let manager = Connection::attach(Nd::LOCAL, magenta.qnet.pid(), NET).unwrap();
    let mut reply = vec![0; 16 << 10];
    let mut open = |path: &str| {
        let message = Connect::new(Subtype::Open, path.as_bytes())
            .encode()
            .unwrap();
        let answer = manager.send(&message, &mut reply)?;
        ConnectAnswer::parse(answer.status, &reply[..answer.len])
    };
    let Ok(ConnectAnswer::Redirect(redirect)) = open("wintermute/home/rk/filename") else {
        panic!("no redirect");
    };
    assert_eq!(redirect.path, b"/home/rk/filename");
    assert_eq!(redirect.servers[0].pid, Pid::PROCMGR);
    assert_eq!(redirect.servers[0].flags, PrefixFlags::DIR.bits());
    assert_eq!(redirect.servers[0].node_name.as_deref(), Some("wintermute"));
    assert_eq!(open("straylight/home"), Err(Errno::ENOENT));
    assert_eq!(open("wintermute~preferred:vz/x"), Err(Errno::ENODEV));
    drop(root);
}

#[test]
fn an_interface_that_is_down_at_the_start_joins_once_it_is_up_and_a_small_mtu_is_refused() {
    in_namespace("inside_not_up_yet");
}

// covers: NET-5
#[test]
#[ignore = "run by an_interface_that_is_down_at_the_start_joins_once_it_is_up_and_a_small_mtu_is_refused"]
fn inside_not_up_yet() {
    make_veth(1500);
    ip("link set va down");
    let root = tempfile::tempdir().unwrap();
    let magenta = TestNode::start(root.path(), "va", "magenta", &[]);
    let _wintermute = TestNode::start(root.path(), "vb", "wintermute", &[]);
    set_runtime_dir(magenta.dir.clone());
    assert_eq!(
        resolve(magenta.qnet.pid(), "wintermute"),
        Err(Errno::ENOENT)
    );
    ip("link set va up");
    let nd = loop {
        match resolve(magenta.qnet.pid(), "wintermute") {
            Ok(nd) => break nd,
            // The carrier takes a moment to come up on both sides.
            Err(errno) => assert_eq!(errno, Errno::ENOENT),
        }
    };
    let connection = Connection::attach(nd, Pid::PROCMGR, Chid::PROCMGR).unwrap();
    assert_eq!(connection.send(b"there?", &mut []).unwrap().status, 6);

    ip("link set vb mtu 500");
    let dir = root.path().join("straylight");
    fs::create_dir(&dir).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_qnet"))
        .args(["--interface", "vb", "--name", "straylight"])
        .env("QNET_RUNTIME_DIR", dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ip link set vb mtu 1500"), "{said}");
}

#[test]
fn a_descriptor_means_a_node_to_the_node_that_numbered_it_only() {
    in_namespace("inside_descriptors");
}

// covers: NET-1
#[test]
#[ignore = "run by a_descriptor_means_a_node_to_the_node_that_numbered_it_only in its namespace"]
fn inside_descriptors() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    // Which node answers at the other end, as its server's process, and how that node calls this one.
    let other_end = |nd: Nd| {
        let mut who = [0; 64];
        let connection = Connection::attach(nd, Pid::PROCMGR, Chid::PROCMGR)?;
        let len = connection.send(b"whose?", &mut who)?.len;
        let words: Vec<u32> = std::str::from_utf8(&who[..len])
            .unwrap()
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect();
        Ok::<_, Errno>((Pid(words[0] as i32), Nd(words[1])))
    };
    let names = ["magenta", "wintermute", "straylight"];
    let numbered = |node: &TestNode| {
        set_runtime_dir(node.dir.clone());
        names.map(|name| resolve(node.qnet.pid(), name))
    };
    let of_magenta = numbered(&magenta);
    let of_wintermute = numbered(&wintermute);
    assert_eq!(
        (of_magenta[0], of_wintermute[1]),
        (Ok(Nd::LOCAL), Ok(Nd::LOCAL))
    );
    assert_eq!(of_magenta[2], Err(Errno::ENOENT));
    let (there, back) = (of_magenta[1].unwrap(), of_wintermute[0].unwrap());
    // Small, and never the node itself.
    for nd in [there, back] {
        assert!((1..=16).contains(&nd.0), "{nd}");
    }

    set_runtime_dir(magenta.dir.clone());
    assert_eq!(other_end(Nd::LOCAL), Ok((magenta.server.pid(), Nd::LOCAL)));
    // The server sees the client under its own node's number, whatever the client called the server.
    assert_eq!(other_end(there), Ok((wintermute.server.pid(), back)));
    set_runtime_dir(wintermute.dir.clone());
    assert_eq!(other_end(back), Ok((magenta.server.pid(), there)));
    // A number that this node never gave is nobody.
    let nobody = other_end(Nd(there.0 + back.0 + 100)).unwrap_err();
    assert!(
        [Errno::EHOSTUNREACH, Errno::ENETDOWN, Errno::ESRCH].contains(&nobody),
        "{nobody:?}"
    );
}

#[test]
fn clients_that_want_out_and_clients_that_go_are_noticed_there() {
    in_namespace("inside_unblock");
}

// covers: NET-6 CHN-2 CHN-3
#[test]
#[ignore = "run by clients_that_want_out_and_clients_that_go_are_noticed_there in its namespace"]
fn inside_unblock() {
    let (_root, magenta, _wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    let brief = Timeout::all(Duration::from_millis(50));

    // Pulses before anything else: they wait for the attach there, and come once and in order.
    let connection = attach(nd);
    for value in 0..5 {
        connection.send_pulse(None, PulseCode(9), value).unwrap();
    }
    let pulsed = || {
        let mut values = [0; 64];
        let len = connection.send(b"which pulses?", &mut values).unwrap().len;
        String::from_utf8_lossy(&values[..len]).into_owned()
    };
    while pulsed() != "[0, 1, 2, 3, 4]" {
        std::thread::sleep(Duration::from_millis(1));
    }

    // A server that leaves it to the client.
    assert_eq!(
        connection.send_timeout(b"never", &mut [], brief),
        Err(Errno::ETIMEDOUT)
    );
    echo(&connection, 10, 0);

    // A server that keeps its clients until it has answered.
    let stubborn = Connection::attach(nd, Pid::PROCMGR, Chid(2)).unwrap();
    let mut reply = [0; 16];
    let mut tries = 0;
    let answer = loop {
        tries += 1;
        match stubborn.send_timeout(b"wait", &mut reply, brief) {
            // The time was over before the server received it: then it is withdrawn (CHN-2).
            Err(Errno::ETIMEDOUT) if tries < 20 => {}
            outcome => break outcome.unwrap(),
        }
    };
    assert_eq!(
        (answer.status, &reply[..answer.len]),
        (77, &b"after all"[..])
    );

    // A client that detaches is a client that has gone, for its server too.
    let gone = |connection: &Connection| {
        let answer = connection.send(b"how many have gone?", &mut []).unwrap();
        answer.status
    };
    let before = gone(&connection);
    drop(connection);
    let connection = attach(nd);
    while gone(&connection) == before {
        std::thread::sleep(Duration::from_millis(1));
    }

    // And so is one that is killed while it waits.
    let before = gone(&connection);
    let mut client = role("role_blocked_client", &magenta.dir);
    client.env("TEST_ND", nd.to_string());
    let client = start(client);
    std::thread::sleep(Duration::from_millis(50));
    drop(client);
    while gone(&connection) == before {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for ever for an answer.
#[test]
#[ignore = "a role in the tests of two nodes"]
fn role_blocked_client() {
    let nd = Nd(env::var("TEST_ND").unwrap().parse().unwrap());
    let connection = attach(nd);
    println!("ready: client");
    let _ = connection.send(b"never", &mut []);
}

#[test]
fn a_server_that_dies_and_a_node_that_dies_end_in_errors() {
    in_namespace("inside_deaths");
}

// covers: NET-5 DTH-2
#[test]
#[ignore = "run by a_server_that_dies_and_a_node_that_dies_end_in_errors in its namespace"]
fn inside_deaths() {
    let (_root, magenta, wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();

    // The server dies with a client REPLY-blocked on it.
    let connection = attach(nd);
    echo(&connection, 100, 0);
    let TestNode { dir, server, qnet } = wintermute;
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(server);
    });
    assert_eq!(connection.send(b"never", &mut []), Err(Errno::ESRCH));
    killer.join().unwrap();
    while connection.is_alive() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(connection.send(b"x", &mut []), Err(Errno::EBADF));

    // A new server, and then the whole node dies without a word.
    let _server = start(role("role_server", &dir));
    let connection = attach(nd);
    echo(&connection, 100, 1);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        qnet.signal(nix::sys::signal::Signal::SIGKILL);
        qnet
    });
    let start_of_wait = Instant::now();
    let failed = connection.send(b"never", &mut []).unwrap_err();
    println!(
        "the node's death was noticed after {:?}",
        start_of_wait.elapsed()
    );
    assert!(
        [Errno::EHOSTDOWN, Errno::ESRCH].contains(&failed),
        "{failed:?}"
    );
    drop(killer.join().unwrap());

    // It comes back in a new life, and serves new connections.
    let qnet = start_qnet(&dir, "vb", "wintermute", &[]);
    let connection = attach(nd);
    echo(&connection, 5000, 2);

    // A clean end is told at once: no tolerance passes.
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        qnet.signal(nix::sys::signal::Signal::SIGTERM);
        qnet
    });
    assert_eq!(connection.send(b"never", &mut []), Err(Errno::ESRCH));
    let mut stopped = stopper.join().unwrap();
    assert!(stopped.0.wait().unwrap().success());
    assert!(!dir.join("net.sock").exists());

    // The client's own qnet dies in the middle of a large message; its successor needs no cleaning up.
    let _qnet = start_qnet(&dir, "vb", "wintermute", &[]);
    let connection = attach(nd);
    echo(&connection, 100, 3);
    let mine = magenta.qnet;
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        mine.signal(nix::sys::signal::Signal::SIGKILL);
        mine
    });
    let large = vec![1; 16 << 20];
    let failed = loop {
        if let Err(errno) = connection.send(&large, &mut []) {
            break errno;
        }
    };
    assert!([Errno::ESRCH, Errno::EBADF].contains(&failed), "{failed:?}");
    drop(killer.join().unwrap());
    let qnet = start_qnet(&magenta.dir, "va", "magenta", &[]);
    let nd = resolve(qnet.pid(), "wintermute").unwrap();
    echo(&attach(nd), 100_000, 4);
}
