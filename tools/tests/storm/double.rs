//! A second node under the name of one that lives: it is refused, is told why, and takes nobody's place.

use std::io::Read;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tools::netlab::{Cut, Lab, Programs};

use crate::crowd::{greet, leave};
use crate::load::start;
use crate::support::{lab, output, text, until};

const NAME: &str = "magenta";
/// Where the second bearer of the name starts.
const ELSEWHERE: &str = "wintermute";
/// Who speaks with the first.
const FRIEND: &str = "friend";
/// Calls of the friend while the second is there.
const CALLS: u32 = 20;
/// Longer than a node that has just come ends when it is told that its name is taken.
const NO_NEWCOMER: Duration = Duration::from_millis(5200);

/// Three nodes of which none has met another.
fn strangers() -> Option<Lab> {
    let nodes = [NAME, ELSEWHERE, FRIEND].join(",");
    let lab = lab(&["--nodes", &nodes])?;
    for node in [NAME, ELSEWHERE, FRIEND] {
        greet(&lab, node);
    }
    leave(&lab, ELSEWHERE);
    Some(lab)
}

// covers: NET-1
#[test]
fn a_newcomer_under_a_name_that_is_taken_ends_and_says_why() {
    let Some(lab) = strangers() else {
        return;
    };
    let mut second = lab.exec(ELSEWHERE, "qnet");
    second.args(["--interface", "eth0", "--name", NAME]);
    let mut second = second.stderr(Stdio::piped()).spawn().expect("it starts");
    let ended = until(|| second.try_wait().expect("it is our child"));
    assert!(!ended.success());
    let mut said = String::new();
    let mut stderr = second.stderr.take().expect("it is piped");
    stderr.read_to_string(&mut said).expect("text");
    assert!(
        said.contains("another node is called magenta already") && said.contains("--name NAME"),
        "{said}"
    );
    // The first is told too, and is who everybody finds: nobody was in a session with it.
    assert!(log(&lab, NAME, "qnet").contains("two nodes are called magenta"));
    reach_the_first(&lab);
    let path = format!("/net/{FRIEND}/home/greeting");
    assert_eq!(text(lab.exec(NAME, "qn").args(["cat", &path])), FRIEND);
}

// covers: NET-1, NET-4
#[test]
fn a_second_bearer_of_a_name_that_was_cut_off_is_refused_and_the_first_is_still_reached() {
    let Some(lab) = strangers() else {
        return;
    };
    // Calls that wait keep the friend's session with the first alive, so that its name is taken.
    start(&lab, NAME, "deaf", "neighbours::part_deaf", &[]);
    let target = format!("/net/{NAME}/dev/name/local/deaf");
    let sender = "neighbours::part_sender";
    start(&lab, FRIEND, "sender", sender, &[("TARGET", &target)]);
    reach_the_first(&lab);
    // Nobody hears it come.
    lab.cut(ELSEWHERE, Cut::Both).expect("it is there");
    let qnet = Programs::find().expect("the lab runs them").path("qnet");
    let mut command = vec![qnet.display().to_string()];
    let options = ["--interface", "eth0", "--name", NAME, "--map", "identity"];
    command.extend(options.map(str::to_owned));
    lab.serve(ELSEWHERE, "double", command)
        .expect("nothing is in its way");
    thread::sleep(NO_NEWCOMER);
    lab.heal(ELSEWHERE).expect("it is there");
    for _ in 0..CALLS {
        reach_the_first(&lab);
        let path = format!("/net/{FRIEND}/home/greeting");
        let asked = output(lab.exec(ELSEWHERE, "qn").args(["cat", &path]));
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(!asked.status.success(), "the second is let in");
        assert!(said.contains("EADDRINUSE"), "{said}");
    }
    // It is told, and so is who refused it.
    for (node, daemon) in [(FRIEND, "qnet"), (ELSEWHERE, "double")] {
        assert!(log(&lab, node, daemon).contains("two nodes are called magenta"));
    }
    // The first is none the worse for it, nor is the name for who comes to it later.
    let path = format!("/net/{FRIEND}/home/greeting");
    assert_eq!(text(lab.exec(NAME, "qn").args(["cat", &path])), FRIEND);
}

/// The friend reads a file of the first, which tells whose it is.
fn reach_the_first(lab: &Lab) {
    let path = format!("/net/{NAME}/home/greeting");
    assert_eq!(text(lab.exec(FRIEND, "qn").args(["cat", &path])), NAME);
}

fn log(lab: &Lab, node: &str, daemon: &str) -> String {
    let mut log = String::new();
    let file = lab.open(node, format!("log/{daemon}.log"));
    let mut file = file.expect("a daemon that was started has a log");
    file.read_to_string(&mut log).expect("text");
    log
}
