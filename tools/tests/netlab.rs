//! The lab by itself: nodes without daemons, cut, misled, and gone without a trace.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tools::netlab::{Cut, Faults, Lab};

use support::{Running, lab, output, part, setting, text, until};

/// Datagrams of one conversation.
const COUNT: u32 = 200;
/// Datagrams that are sent without a pause: some must be there to overtake one that is held back.
const BURST: u32 = 8;
/// Datagrams behind those of a conversation, so that its end is heard: as many of them are lost and overtaken as of others.
const FAREWELLS_SENT: u32 = 100;
/// Farewells behind which nothing of the conversation comes any more.
const FAREWELLS_HEARD: usize = 20;
/// How long nothing is heard where nothing can be.
const SILENCE: Duration = Duration::from_millis(300);
/// A conversation that stops for so long has failed.
const HANG: Duration = Duration::from_secs(60);
/// Port on which the nodes talk.
const PORT: u16 = 7007;
/// All datagrams of a conversation fit into a socket's buffer up to this length; longer ones are sent
/// when the one before was answered.
const LEN_UNPACED_MAX: usize = 100;
/// Address of the first node.
const MAGENTA: &str = "10.77.0.1";
/// Address of the second node.
const WINTERMUTE: &str = "10.77.0.2";

/// What could be left behind on this machine, seen from outside of labs.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    interfaces: BTreeSet<String>,
    mounts: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Traces {
    fn look(lab: &str) -> Traces {
        let interfaces = fs::read_dir("/sys/class/net").expect("sysfs is mounted");
        let sockets = fs::read_to_string("/proc/net/unix").expect("proc is mounted");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc is mounted");
        let is_ours = |line: &&str| {
            line.contains(lab) || line.contains("netlab on") || line.contains("magenta")
        };
        Traces {
            interfaces: interfaces
                .map(|entry| {
                    entry
                        .expect("sysfs lists")
                        .file_name()
                        .to_string_lossy()
                        .into_owned()
                })
                .collect(),
            mounts: mounts.lines().filter(is_ours).map(str::to_owned).collect(),
            names: sockets
                .lines()
                .filter(|line| line.contains(lab))
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// Processes on this machine that have `mark` among their arguments.
fn processes_with(mark: &str) -> Vec<Pid> {
    let proc = fs::read_dir("/proc").expect("proc is mounted");
    let pids = proc.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let marked = pids.filter(|pid| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments
            .split(|&byte| byte == 0)
            .any(|argument| argument == mark.as_bytes())
    });
    marked.map(Pid::from_raw).collect()
}

/// Starts processes on a node: one in the foreground, one that nobody waits for.
fn populate(lab: &Lab, node: &str, mark: &str) -> Child {
    let script = format!("sleep {mark} & sleep {mark} & echo up; wait");
    let mut visitor = lab
        .exec(node, "sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut line = String::new();
    let stdout = visitor.stdout.take().expect("it was piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("sh prints");
    assert_eq!(line, "up\n");
    visitor
}

/// Ends a lab in some way and looks whether anything of it is left. Namespaces need no look: only
/// processes, mounts and descriptors hold them.
fn nothing_is_left_after(mark: &str, end: impl FnOnce(Lab)) {
    let Some(lab) = lab(&["--bare"]) else { return };
    let name = lab.name().to_owned();
    let before = Traces::look("a name that no lab has");
    let mut visitor = populate(&lab, "magenta", mark);
    // The shell has forked them; they become what they are to be in their own time.
    while processes_with(mark).len() < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    end(lab);
    visitor.wait().expect("it is our child");
    // The kernel kills all of them together, and they end in their own time.
    until(|| processes_with(mark).is_empty().then_some(()));
    assert_eq!(Traces::look(&name), before);
}

/// Sends the supervisor a signal, and does not end the lab in any other way.
fn end_by(signal: Signal) -> impl FnOnce(Lab) {
    move |lab| {
        let supervisor = lab.supervisor();
        kill(supervisor, signal).expect("the supervisor runs");
        while fs::exists(format!("/proc/{supervisor}")).expect("proc is mounted") {
            thread::sleep(Duration::from_millis(1));
        }
        std::mem::forget(lab);
    }
}

#[test]
fn nothing_is_left_after_down() {
    nothing_is_left_after("80001", drop);
}

#[test]
fn nothing_is_left_after_an_interrupt() {
    nothing_is_left_after("80002", end_by(Signal::SIGINT));
}

#[test]
fn nothing_is_left_after_a_kill_of_the_supervisor() {
    nothing_is_left_after("80003", end_by(Signal::SIGKILL));
}

#[test]
fn a_killed_lab_can_be_brought_up_again_by_the_same_name() {
    let Some(first) = lab(&["--bare"]) else {
        return;
    };
    let name = first.name().to_owned();
    end_by(Signal::SIGKILL)(first);
    let options = tools::netlab::LabOptions {
        name: Some(name),
        arguments: vec!["--bare".into()],
    };
    let again = Lab::up(&options).expect("nothing is in the way");
    assert_eq!(again.status().expect("it runs").nodes.len(), 2);
}

#[test]
fn a_lab_ends_with_the_process_that_holds_it() {
    let Some(outer) = lab(&["--bare"]) else {
        return;
    };
    let mut holder = std::process::Command::new(std::env::current_exe().expect("we run"))
        .args([
            "--exact",
            "part_hold_a_lab",
            "--ignored",
            "--nocapture",
            "--quiet",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let stdout = BufReader::new(holder.stdout.take().expect("it was piped"));
    let line = stdout.lines().map_while(Result::ok).find_map(|line| {
        Some(
            line.split_once("supervisor ")?
                .1
                .trim()
                .parse::<i32>()
                .expect("a pid"),
        )
    });
    let supervisor = line.expect("the holder says whom it holds");
    kill(Pid::from_raw(holder.id() as i32), Signal::SIGKILL).expect("it is our child");
    holder.wait().expect("it is our child");
    while fs::exists(format!("/proc/{supervisor}")).expect("proc is mounted") {
        thread::sleep(Duration::from_millis(1));
    }
    drop(outer);
}

#[test]
#[ignore = "run by a_lab_ends_with_the_process_that_holds_it"]
fn part_hold_a_lab() {
    let lab = lab(&["--bare"]).expect("the outer test had one");
    println!("supervisor {}", lab.supervisor());
    thread::sleep(Duration::from_secs(3600));
}

#[test]
fn a_name_in_use_is_refused_and_its_lab_unharmed() {
    let Some(first) = lab(&["--bare"]) else {
        return;
    };
    let name = first.name().to_owned();
    let options = tools::netlab::LabOptions {
        name: Some(name),
        arguments: vec!["--bare".into()],
    };
    let error = Lab::up(&options)
        .expect_err("the name is taken")
        .to_string();
    assert!(
        error.contains("down"),
        "the error says what mends it: {error}"
    );
    assert_eq!(first.status().expect("it runs").nodes.len(), 2);
}

#[test]
fn a_server_starts_with_no_signal_blocked() {
    let Some(lab) = lab(&["--bare"]) else { return };
    let script = "grep SigBlk /proc/self/status; exit 1";
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let error = lab.serve("magenta", "told", command);
    let error = error.expect_err("it ends before it is ready").to_string();
    assert!(error.contains("SigBlk:\t0000000000000000"), "{error}");
}

#[test]
fn commands_keep_their_exit_code_directory_and_environment() {
    let Some(lab) = lab(&["--bare"]) else { return };
    let code = |script: &str| {
        output(lab.exec("magenta", "sh").args(["-c", script]))
            .status
            .code()
    };
    assert_eq!(code("exit 7"), Some(7));
    assert_eq!(code("kill -9 $$"), Some(128 + 9));
    assert_eq!(
        output(&mut lab.exec("magenta", "/no/such/program"))
            .status
            .code(),
        Some(127)
    );
    let here = std::env::current_dir().expect("there is one");
    assert_eq!(
        text(&mut lab.exec("magenta", "pwd")).trim(),
        here.display().to_string()
    );
    let dir = lab.dir("wintermute").expect("there is one").join("run");
    let seen = text(
        lab.exec("wintermute", "sh")
            .args(["-c", "echo $QNET_RUNTIME_DIR; uname -n"]),
    );
    assert_eq!(seen, format!("{}\nwintermute\n", dir.display()));
}

#[test]
fn nodes_see_their_own_interface_only_and_one_another_s_pids() {
    let Some(lab) = lab(&["--bare", "--nodes", "a,b,c"]) else {
        return;
    };
    let mut visitor = populate(&lab, "a", "80004");
    let look = "ls /sys/class/net; cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    let seen = text(lab.exec("c", "sh").args(["-c", look]));
    assert!(seen.starts_with("eth0\nlo\n"), "{seen}");
    assert!(seen.contains("sleep 80004"), "{seen}");
    drop(lab);
    visitor.wait().expect("it is our child");
}

/// What wintermute hears of `COUNT` numbered datagrams of `len` bytes from magenta, in order.
fn heard(lab: &Lab, len: usize) -> Vec<u32> {
    hear(lab, len, true)
}

/// What wintermute hears although it should hear nothing.
fn heard_through_a_cut(lab: &Lab) -> Vec<u32> {
    hear(lab, 100, false)
}

fn hear(lab: &Lab, len: usize, arrives: bool) -> Vec<u32> {
    let mut listener = part(lab, "wintermute", "part_listen");
    listener.env("ARRIVES", arrives.to_string());
    let mut listener = Running::start({
        listener.stdin(Stdio::piped());
        listener
    });
    listener.next("listening");
    text(part(lab, "magenta", "part_speak").env("LEN", len.to_string()));
    if !arrives {
        listener.say("over");
    }
    let heard = listener.next("heard");
    assert!(listener.wait().success());
    heard
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect()
}

/// A UDP socket of this node.
fn socket(port: u16, patience: Duration) -> UdpSocket {
    let socket = UdpSocket::bind(("0.0.0.0", port)).expect("a node's ports are all free");
    socket
        .set_read_timeout(Some(patience))
        .expect("a constant, not zero");
    socket
}

#[test]
#[ignore = "run by the tests here as the part of wintermute in conversations"]
fn part_listen() {
    let arrives = setting("ARRIVES") == "true";
    let patience = if arrives { HANG } else { SILENCE };
    let socket = socket(PORT, patience);
    println!("listening");
    if !arrives {
        // What came until the speaker has gone is kept by the socket.
        std::io::stdin()
            .read_line(&mut String::new())
            .expect("the test says when");
    }
    let mut buffer = vec![0; 65536];
    let (mut numbers, mut farewells) = (Vec::new(), BTreeSet::new());
    while farewells.len() < FAREWELLS_HEARD {
        match socket.recv_from(&mut buffer) {
            Ok((_, speaker)) => {
                let bytes = buffer[..4].try_into().expect("four bytes");
                let number = u32::from_le_bytes(bytes);
                if number < COUNT {
                    numbers.push(number);
                } else {
                    farewells.insert(number);
                }
                // Whoever waits for that may go on; the others do not mind.
                let _ = socket.send_to(&bytes, speaker);
            }
            Err(error) => {
                assert!(!arrives, "the conversation stops: {error}");
                break;
            }
        }
    }
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    println!("heard {}", numbers.join(" "));
}

#[test]
#[ignore = "run by the tests here as the part of magenta in conversations"]
fn part_speak() {
    let len: usize = setting("LEN").parse().expect("a number");
    let socket = socket(0, HANG);
    let send = |number: u32, len: usize| {
        let mut datagram = vec![0; len];
        datagram[..4].copy_from_slice(&number.to_le_bytes());
        // A cut link is an error here and nothing else anywhere: it is what the test is about.
        let _ = socket.send_to(&datagram, (WINTERMUTE, PORT));
    };
    for number in 0..COUNT {
        send(number, len);
        if len > LEN_UNPACED_MAX {
            let answered = socket.recv(&mut [0; 4]);
            answered.expect("the one before was answered");
        } else if number % BURST == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    for number in COUNT..COUNT + FAREWELLS_SENT {
        thread::sleep(Duration::from_millis(1));
        send(number, LEN_UNPACED_MAX);
    }
}

const NOTHING: [u32; 0] = [];

fn all() -> Vec<u32> {
    (0..COUNT).collect()
}

#[test]
fn everything_arrives_in_order_on_both_switches_at_every_mtu() {
    for mtu in ["1500", "9000", "65535"] {
        let Some(lab) = lab(&["--bare", "--mtu", mtu]) else {
            return;
        };
        let len = mtu.parse::<usize>().expect("a number").min(65_535) - 28;
        let capture = lab.capture().expect("the supervisor may capture");
        assert_eq!(heard(&lab, len), all());
        let frames = capture.finish().expect("the lab is up");
        let full = frames
            .iter()
            .filter(|frame| frame.bytes.len() == len + 42)
            .count();
        assert_eq!(full, COUNT as usize, "each datagram is one frame");
        lab.faults(Some(Faults::default()))
            .expect("the seeded switch starts");
        assert_eq!(lab.status().expect("it runs").switch, "seeded");
        assert_eq!(heard(&lab, len), all());
        lab.faults(None).expect("the bridge takes over");
        assert_eq!(lab.status().expect("it runs").switch, "bridge");
        assert_eq!(heard(&lab, len), all());
    }
}

#[test]
fn a_seed_loses_doubles_and_reorders_the_same_frames_again() {
    let Some(lab) = lab(&["--bare"]) else { return };
    // No node asks for an address, so that the faults meet the datagrams only.
    know(&lab, "magenta", "wintermute", WINTERMUTE);
    know(&lab, "wintermute", "magenta", MAGENTA);
    assert_eq!(heard(&lab, 100), all());
    let faults = |seed| {
        Some(Faults {
            loss: 10.0,
            dup: 10.0,
            reorder: 10.0,
            delay_us: 0,
            seed,
        })
    };
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        lab.faults(faults(seed)).expect("the seeded switch starts");
        let numbers = heard(&lab, 100);
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_ne!(sorted, numbers, "some are overtaken");
        let counters = lab.status().expect("it runs").counters;
        assert!(counters.lost > 0 && counters.duplicated > 0 && counters.reordered > 0);
        assert_eq!(counters.overrun, 0);
        let distinct: BTreeSet<u32> = sorted.iter().copied().collect();
        assert!(distinct.len() < COUNT as usize && sorted.len() > distinct.len());
        runs.push(sorted);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

/// Has a node know another's address for good.
fn know(lab: &Lab, node: &str, other: &str, address: &str) {
    let mac = text(lab.exec(other, "cat").arg("/sys/class/net/eth0/address"));
    let known = ["neigh", "replace", address, "lladdr", mac.trim()];
    text(
        lab.exec(node, "ip")
            .args(known)
            .args(["dev", "eth0", "nud", "permanent"]),
    );
}

#[test]
fn a_cut_node_hears_nothing_until_it_is_healed() {
    let Some(lab) = lab(&["--bare"]) else { return };
    for (cut, carrier) in [
        (Cut::Link, false),
        (Cut::Both, true),
        (Cut::To, true),
        (Cut::From, true),
    ] {
        lab.cut("wintermute", cut).expect("there is such a node");
        let status = lab.status().expect("it runs");
        assert_eq!(status.nodes[1].link.carrier, carrier, "{cut:?}");
        // Without an answer to its ARP request magenta sends nothing, so `From` silences both.
        assert_eq!(heard_through_a_cut(&lab), NOTHING, "{cut:?}");
        lab.heal("wintermute").expect("there is such a node");
        wait_for_carrier(&lab);
    }
    // A question for its address that had no answer is asked for three seconds, and then what waits for it is dropped.
    text(
        lab.exec("magenta", "ip")
            .args(["neigh", "flush", "dev", "eth0"]),
    );
    assert_eq!(heard(&lab, 100), all());
}

/// A port that is put up has its carrier a moment later.
fn wait_for_carrier(lab: &Lab) {
    while !lab
        .status()
        .expect("it runs")
        .nodes
        .iter()
        .all(|node| node.link.carrier)
    {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cut_of_one_direction_leaves_the_other() {
    let Some(lab) = lab(&["--bare"]) else { return };
    assert_eq!(heard(&lab, 100), all());
    lab.cut("wintermute", Cut::From)
        .expect("there is such a node");
    assert_eq!(heard(&lab, 100), all(), "what is sent to it still arrives");
    lab.cut("magenta", Cut::From).expect("there is such a node");
    assert_eq!(heard_through_a_cut(&lab), NOTHING);
}

#[test]
fn logs_of_a_node_or_of_all_are_shown() {
    let Some(lab) = lab(&["--no-qnet", "--nodes", "2"]) else {
        return;
    };
    let logs = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netlab"));
        text(command.args(["--lab", lab.name(), "logs"]).args(arguments))
    };
    let all = logs(&[]);
    for node in ["node1", "node2"] {
        for daemon in ["procmgr", "fs-export"] {
            let says = |line: &str| line.starts_with(node) && line.contains(&format!(" {daemon} "));
            assert!(all.lines().any(says), "{daemon} on {node}: {all}");
        }
    }
    let one = logs(&["node2"]);
    assert!(
        one.lines().any(|line| line.starts_with("fs-export ")),
        "{one}"
    );
    let daemon = logs(&["node2", "procmgr"]);
    assert!(
        daemon
            .lines()
            .any(|line| line.starts_with("ready: procmgr")),
        "{daemon}"
    );
    assert!(
        !daemon.contains("fs-export"),
        "of that daemon only: {daemon}"
    );
}
