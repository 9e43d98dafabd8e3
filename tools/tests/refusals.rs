//! What cannot be had is refused with the errno that says why.

mod support;

use std::collections::HashSet;

use ipc_core::file;
use nix::sys::signal::Signal;

use support::{lab, output, part, setting, text};

#[test]
#[ignore = "run by the tests here as the part of a node: reads a path"]
fn part_read() {
    let path = setting("FILE");
    match file::read(&path) {
        Ok(bytes) => println!("outcome {} bytes", bytes.len()),
        Err(errno) => println!("outcome {errno:?}: {}", file::describe(errno, &path)),
    }
}

/// What reading a path on magenta comes to.
fn outcome(lab: &tools::netlab::Lab, path: &str) -> String {
    let said = text(part(lab, "magenta", "part_read").env("FILE", path));
    let outcome = said.lines().find_map(|line| line.split_once("outcome "));
    outcome
        .unwrap_or_else(|| panic!("the part says what came of it: {said}"))
        .1
        .to_owned()
}

/// covers: PTH-3, PTH-7
#[test]
fn unknown_and_impossible_paths_are_refused() {
    let Some(lab) = lab(&[]) else { return };
    let long = format!("/net/wintermute/home/{}", "x/".repeat(4096));
    for (path, errno) in [
        ("/net/neuromancer/home/file", "ENOENT"),
        ("/net/wintermute/home/no/such/file", "ENOENT"),
        ("/net/wintermute/nobody/owns/this", "ENOENT"),
        ("/net/not a node/home", "ENOENT"),
        (long.as_str(), "ENAMETOOLONG"),
        ("/net/wintermute/home/../../../etc/passwd", "ENOENT"),
    ] {
        let outcome = outcome(&lab, path);
        assert!(
            outcome.starts_with(errno),
            "{}: {outcome}",
            &path[..path.len().min(60)]
        );
    }
}

/// covers: PTH-3
#[test]
fn a_loop_of_symlinks_is_eloop() {
    let Some(lab) = lab(&[]) else { return };
    let home = lab
        .dir("wintermute")
        .expect("there is such a node")
        .join("home");
    text(
        lab.exec("wintermute", "ln")
            .args(["-s", "loop"])
            .arg(home.join("loop")),
    );
    let outcome = outcome(&lab, "/net/wintermute/home/loop");
    assert!(outcome.starts_with("ELOOP"), "{outcome}");
}

#[test]
fn without_a_process_manager_the_error_says_what_to_start() {
    let Some(lab) = lab(&[]) else { return };
    lab.kill("magenta", "procmgr", Signal::SIGKILL)
        .expect("it runs");
    let outcome = outcome(&lab, "/net/wintermute/home/file");
    assert!(outcome.contains("procmgr"), "{outcome}");
}

#[test]
fn without_the_right_to_packet_sockets_qnet_says_how_to_get_it() {
    let Some(lab) = lab(&["--no-qnet"]) else {
        return;
    };
    let qnet = tools::netlab::Programs::find()
        .expect("the lab runs them")
        .path("qnet");
    let mut command = lab.exec("magenta", "setpriv");
    command.args(["--bounding-set", "-net_raw", "--"]).arg(qnet);
    let refused = output(command.args(["--interface", "eth0", "--name", "magenta"]));
    let said = String::from_utf8_lossy(&refused.stderr);
    if refused.status.code() == Some(127) {
        return println!("skipped: setpriv (of util-linux) is not installed");
    }
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("CAP_NET_RAW") && said.contains("setcap"),
        "{said}"
    );
}

// covers: PTH-8
#[test]
fn no_two_files_of_nodes_and_servers_count_as_one() {
    let Some(lab) = lab(&[]) else { return };
    let mut command = lab.exec("magenta", "qn");
    command.args(["run", "--", "stat", "-c", "%d:%i", "/net", "/net/.stats"]);
    command.args([
        "/net/magenta",
        "/net/magenta/dev",
        "/net/magenta/home",
        "/net/magenta/net",
    ]);
    command.args([
        "/net/wintermute",
        "/net/wintermute/dev",
        "/net/wintermute/net",
    ]);
    command.args([
        "/net/wintermute/home",
        "/net/wintermute~preferred:eth0/home",
    ]);
    let said = text(&mut command);
    let numbers: Vec<_> = said.lines().collect();
    let distinct: HashSet<_> = numbers.iter().collect();
    assert_eq!((numbers.len(), distinct.len()), (11, 10), "{said}");
    assert_eq!(numbers[9], numbers[10], "another way to the same directory");
}

#[test]
fn programs_walk_all_nodes_and_what_is_above_their_prefixes() {
    let Some(lab) = lab(&[]) else { return };
    let run = |arguments: &[&str]| {
        let mut command = lab.exec("magenta", "qn");
        command
            .args(["run", "--"])
            .args(arguments)
            .env("LC_ALL", "C");
        command
    };
    assert_eq!(
        text(&mut run(&["ls", "/net/wintermute"])),
        "dev\nhome\nnet\n"
    );
    assert_eq!(text(&mut run(&["ls", "/net/wintermute/dev"])), "name\n");
    // The shell leaves out what a listing numbers 0.
    assert_eq!(
        text(&mut run(&["bash", "-c", "echo /net/*"])),
        "/net/magenta /net/wintermute\n"
    );
    // Through either node's name /net is empty: the walk meets each directory once and comes to an end.
    let walk = |arguments: &[&str]| {
        let walked = output(&mut run(arguments));
        let told = String::from_utf8_lossy(&walked.stderr).into_owned();
        assert!(
            walked.status.success() && told.is_empty(),
            "{arguments:?}: {told}"
        );
        String::from_utf8(walked.stdout).expect("names of nodes and folders")
    };
    let found = walk(&["find", "/net"]);
    let mut lines: Vec<_> = found.lines().collect();
    lines.sort_unstable();
    let expected = ["magenta", "wintermute"].map(|node| {
        let names = ["/dev/name", "/dev/name/global", "/dev/name/local"];
        let below = [&["", "/dev"], &names[..], &["/home", "/net"]].concat();
        let paths = below.iter().map(|path| format!("/net/{node}{path}"));
        paths.collect::<Vec<_>>()
    });
    assert_eq!(lines[0], "/net");
    assert_eq!(lines[1..], expected.concat());
    assert!(walk(&["ls", "-R", "/net"]).contains("/net/wintermute/home:"));
    assert!(walk(&["du", "/net"]).contains("/net/wintermute/home"));
    assert!(walk(&["df", "-P", "/net/wintermute/home"]).contains('%'));
    // What no other device of this machine is, df counts as one without blocks.
    assert!(walk(&["df", "-P", "/net/wintermute"]).contains(" 0 "));
    assert_eq!(
        walk(&["ls", "/net/magenta/net/wintermute"]),
        "dev\nhome\nnet\n"
    );
    for path in ["/net", "/net/wintermute", "/net/wintermute/home"] {
        for mut command in [run(&["cat", path]), {
            let mut command = lab.exec("magenta", "qn");
            command.args(["cat", path]);
            command
        }] {
            let refused = output(&mut command);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(
                said.to_lowercase().contains("is a directory"),
                "{path}: {said}"
            );
            assert_eq!(
                (refused.status.code(), refused.stdout.len()),
                (Some(1), 0),
                "{path}"
            );
        }
    }
}
