//! What an operator sees of a running lab: nodes, paths, links, and the frames on the wire.

mod support;

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{Winsize, openpty},
    sys::signal::Signal,
};
use serde_json::Value;
use support::{lab, output, text, until, until_reached};
use tools::netlab::{Cut, Lab};

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&text(command)).expect("it is JSON")
}

fn talk(lab: &Lab) {
    until_reached(lab, "magenta", "/net/wintermute/home");
}

// covers: NET-8
#[test]
fn nodes_paths_links_and_counters_are_shown_here_and_from_elsewhere() {
    let Some(lab) = lab(&["--links", "2"]) else {
        return;
    };
    talk(&lab);
    until(|| {
        let nodes = json(lab.exec("magenta", "qn").args(["--json", "net"]));
        let nodes = nodes.as_array().expect("an array").clone();
        let other = nodes.iter().find(|node| node["node"] == "wintermute")?;
        (other["state"] == "up" && other["paths_up"] == 2).then_some(())
    });
    let all = json(lab.exec("magenta", "qn").args(["--json", "net", "--long"]));
    let other = &all["nodes"][0];
    assert!(other["messages_sent"].as_u64() > Some(0), "{other:#}");
    let bundles = other["bundles_sent"].as_object().expect("classes");
    let packets: u64 = bundles.values().filter_map(Value::as_u64).sum();
    let acks = other["acks_sent"].as_u64().expect("a count");
    assert_eq!(
        other["frames_sent"].as_u64(),
        Some(packets + acks),
        "{other:#}"
    );
    for path in other["paths"].as_array().expect("a list") {
        assert!(path["mtu"].as_u64() >= Some(576), "{path:#}");
        assert!(path["window_len"].as_u64() > Some(0), "{path:#}");
    }
    let batches = all["links"][0]["batches"].as_object().expect("classes");
    assert!(batches.values().any(|count| count.as_u64() > Some(0)));

    let shown = text(lab.exec("magenta", "qn").args(["net", "-l"]));
    for word in [
        "wintermute",
        "eth0",
        "eth1",
        "records per frame sent",
        "WINDOW",
        "CARRIER",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    // The other node tells what it knows of this one.
    let there = json(
        lab.exec("magenta", "qn")
            .args(["--json", "net", "-n", "wintermute"]),
    );
    let here = there.as_array().expect("an array").iter();
    let states: Vec<_> = here
        .map(|node| (node["node"].as_str(), node["state"].as_str()))
        .collect();
    assert_eq!(
        states,
        [
            (Some("magenta"), Some("up")),
            (Some("wintermute"), Some("here"))
        ]
    );
    // No terminal is there to be taken.
    let refused = output(lab.exec("magenta", "qn").arg("top").stdin(Stdio::null()));
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        told.contains("terminal") && told.contains("qn net --long"),
        "{told}"
    );
}

/// What magenta says of wintermute, once it says `state`.
fn standing(lab: &Lab, state: &str) -> Value {
    until(|| {
        let nodes = json(lab.exec("magenta", "qn").args(["--json", "net"]));
        let nodes = nodes.as_array().expect("an array").clone();
        nodes
            .into_iter()
            .find(|node| node["node"] == "wintermute" && node["state"] == state)
    })
}

// covers: NET-5
#[test]
fn a_node_that_does_not_answer_is_down_with_reason_and_age_until_it_is_back() {
    let Some(lab) = lab(&[]) else { return };
    talk(&lab);
    let up = standing(&lab, "up");
    assert!(
        up["down_reason"].is_null() && up["down_ns"].is_null(),
        "{up:#}"
    );
    lab.kill("wintermute", "qnet", Signal::SIGTERM)
        .expect("it runs");
    let down = standing(&lab, "down");
    assert_eq!(down["down_reason"], "goodbye");
    assert!(down["down_ns"].as_u64() > Some(0), "{down:#}");
    let shown = text(lab.exec("magenta", "qn").arg("net"));
    assert!(
        shown.contains("down ") && shown.contains("(goodbye)"),
        "{shown}"
    );
    let long = text(lab.exec("magenta", "qn").args(["net", "-l"]));
    assert!(long.contains("(goodbye), "), "{long}");
}

#[test]
fn a_node_that_is_cut_off_is_down_because_it_fell_silent_and_comes_back() {
    let Some(lab) = lab(&[]) else { return };
    talk(&lab);
    standing(&lab, "up");
    lab.cut("wintermute", Cut::Both).expect("it is there");
    let refused = output(
        lab.exec("magenta", "qn")
            .args(["ls", "/net/wintermute/home"]),
    );
    assert_eq!(refused.status.code(), Some(1));
    let down = standing(&lab, "down");
    // Whoever asks again while it is cut off finds it unreachable.
    let reason = down["down_reason"].as_str();
    assert!(matches!(reason, Some("silent" | "unreachable")), "{down:#}");
    lab.heal("wintermute").expect("it is there");
    until_reached(&lab, "magenta", "/net/wintermute/home");
    let up = standing(&lab, "up");
    assert!(up["down_reason"].is_null(), "{up:#}");
}

/// What tshark prints of these fields; `None`, and the reason printed, where there is no tshark.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let dissector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qnet/wireshark/qnet.lua");
    let mut tshark = Command::new("tshark");
    tshark
        .arg("-X")
        .arg(format!("lua_script:{}", dissector.display()))
        .arg("-r")
        .arg(file)
        .args(["-Y", filter, "-T", "fields", "-E", "occurrence=a"])
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .env("HOME", std::env::temp_dir());
    let output = match tshark.output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: tshark cannot be run: {error}; install it: apt-get install tshark");
            return None;
        }
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("Lua"), "{told}");
    let lines = String::from_utf8(output.stdout).expect("it prints text");
    let split = |line: &str| line.split('\t').map(str::to_owned).collect();
    Some(lines.lines().map(split).collect())
}

/// Every record of the file is known and sound; the types that occur.
fn sound_types(file: &Path) -> Option<Vec<u8>> {
    let fields = ["qnet.record.type", "_ws.malformed", "_ws.expert.message"];
    let frames = tshark(file, "qnet", &fields)?;
    let mut types = Vec::new();
    for frame in &frames {
        assert_eq!(frame[1..], ["", ""], "{frame:?}");
        let numbers = frame[0].split(',').filter(|number| !number.is_empty());
        types.extend(numbers.map(|number| number.parse::<u8>().expect("a number")));
    }
    types.sort_unstable();
    types.dedup();
    Some(types)
}

/// Reads what a program writes on its terminal until these words have come.
fn until_shown(screen: &mut File, words: &str) {
    let mut shown = String::new();
    let mut bytes = [0; 4096];
    while !shown.contains(words) {
        let mut ready = [PollFd::new(screen.as_fd(), PollFlags::POLLIN)];
        let came = poll(&mut ready, PollTimeout::from(60_000_u16));
        assert_ne!(came, Ok(0), "no {words} in {shown}");
        let len = screen.read(&mut bytes).expect("the program lives");
        shown.push_str(&String::from_utf8_lossy(&bytes[..len]));
    }
}

#[test]
fn the_live_view_ends_by_a_key_while_its_qnet_is_stopped() {
    let Some(lab) = lab(&[]) else { return };
    talk(&lab);
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).expect("a terminal");
    let mut screen = File::from(terminal.master);
    let ends = [(); 3].map(|()| terminal.slave.try_clone().expect("a descriptor"));
    let [stdin, stdout, stderr] = ends.map(Stdio::from);
    let mut top = lab.exec("magenta", "qn");
    let top = top.arg("top").stdin(stdin).stdout(stdout).stderr(stderr);
    let mut top = top.spawn().expect("it starts");
    until_shown(&mut screen, "wintermute");
    lab.kill("magenta", "qnet", Signal::SIGSTOP)
        .expect("it runs");
    until_shown(&mut screen, "does not answer");
    screen.write_all(b"q").expect("it reads keys");
    let ended = until(|| top.try_wait().expect("it is our child"));
    assert!(ended.success());
    lab.kill("magenta", "qnet", Signal::SIGCONT)
        .expect("it is there");
}

#[test]
fn a_running_qnet_gives_its_frames_to_one_at_a_time() {
    let Some(lab) = lab(&[]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("frames.pcapng");
    let mut capture = lab.exec("magenta", "qnet");
    capture.args(["capture", "--frames", "30"]).arg(&file);
    let mut child = capture.stderr(Stdio::piped()).spawn().expect("it starts");
    until(|| {
        fs::metadata(&file)
            .is_ok_and(|file| file.len() > 0)
            .then_some(())
    });
    let second = output(
        lab.exec("magenta", "qnet")
            .args(["capture", "-s", "1", "-"]),
    );
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && told.contains("one can at a time"),
        "{told}"
    );
    let ended = until(|| {
        talk(&lab);
        child.try_wait().expect("it is our child")
    });
    assert!(ended.success());
    // It can be had again, and ends without a frame when its time is over.
    let empty = output(
        lab.exec("magenta", "qnet")
            .args(["capture", "-s", "1", "-b", "4096", "-"]),
    );
    assert!(empty.status.success() && empty.stdout.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));

    let directions = tshark(
        &file,
        "qnet",
        &["frame.packet_flags_direction", "frame.interface_name"],
    );
    let Some(directions) = directions else {
        return;
    };
    assert_eq!(directions.len(), 30);
    for way in ["0x00000001", "0x00000002"] {
        let goes = |line: &Vec<String>| line[0] == way && line[1] == "eth0";
        assert!(directions.iter().any(goes), "{way}: {directions:?}");
    }
    let types = sound_types(&file).expect("tshark was there");
    assert!([1, 3].iter().all(|kind| types.contains(kind)), "{types:?}");
}

#[test]
fn a_recording_of_another_node_does_not_feed_on_itself() {
    let Some(lab) = lab(&[]) else { return };
    talk(&lab);
    let mut capture = lab.exec("magenta", "qnet");
    let captured = output(capture.args(["capture", "-s", "1", "-n", "wintermute", "-"]));
    let told = String::from_utf8_lossy(&captured.stderr);
    assert!(captured.status.success(), "{told}");
    let frames = told
        .split(" frames, ")
        .next()
        .and_then(|word| word.trim().parse().ok());
    let frames: u64 = frames.unwrap_or_else(|| panic!("{told}"));
    // A read each 20 ms, and the few frames that each takes; it was 80,000, and ever more.
    assert!((1..2000).contains(&frames), "{told}");
}

#[test]
fn the_frames_of_the_demo_are_decoded_and_say_what_the_demo_did() {
    if lab(&["--bare"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("demo.pcap");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_netlab"));
    text(demo.arg("demo").arg("--capture").arg(&file));
    let Some(types) = sound_types(&file) else {
        return;
    };
    // Who is it, here I am, the handshake, messages and their replies.
    for kind in [17, 18, 20, 21, 22, 1, 3] {
        assert!(types.contains(&kind), "type {kind} in {types:?}");
    }
    let asked = tshark(&file, "qnet.who_is", &["qnet.who_is.name"]).expect("tshark was there");
    assert!(asked.contains(&vec!["wintermute".to_owned()]), "{asked:?}");
    let text: String = b"This is message passing"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let bytes = tshark(&file, "qnet.message", &["qnet.bytes"]).expect("tshark was there");
    let is_there = bytes.iter().any(|line| line[0].contains(&text));
    assert!(is_there, "what was written crosses the wire: {bytes:?}");
}
