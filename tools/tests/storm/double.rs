//! A second node under the name of one that lives: it is refused, is told why, and takes nobody's place.

use std::io::Read;

use tools::netlab::{Lab, Programs};

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

// covers: NET-1, NET-4
#[test]
fn a_second_bearer_of_a_name_is_refused_and_the_first_is_still_reached() {
    let nodes = [NAME, ELSEWHERE, FRIEND].join(",");
    let Some(lab) = lab(&["--nodes", &nodes]) else {
        return;
    };
    for node in [NAME, ELSEWHERE, FRIEND] {
        greet(&lab, node);
    }
    // Calls that wait keep the friend's session with the first alive, so that its name is taken.
    start(&lab, NAME, "deaf", "neighbours::part_deaf", &[]);
    let target = format!("/net/{NAME}/dev/name/local/deaf");
    let sender = "neighbours::part_sender";
    start(&lab, FRIEND, "sender", sender, &[("TARGET", &target)]);
    leave(&lab, ELSEWHERE);
    reach_the_first(&lab);
    let qnet = Programs::find().expect("the lab runs them").path("qnet");
    let mut command = vec![qnet.display().to_string()];
    let options = ["--interface", "eth0", "--name", NAME, "--map", "identity"];
    command.extend(options.map(str::to_owned));
    lab.serve(ELSEWHERE, "double", command)
        .expect("nothing is in its way");
    // Both are told, whoever came first.
    for (node, daemon) in [(NAME, "qnet"), (ELSEWHERE, "double")] {
        until(|| {
            log(&lab, node, daemon)
                .contains("two nodes are called magenta")
                .then_some(())
        });
    }
    for _ in 0..CALLS {
        reach_the_first(&lab);
        let path = format!("/net/{FRIEND}/home/greeting");
        let asked = output(lab.exec(ELSEWHERE, "qn").args(["cat", &path]));
        let said = String::from_utf8_lossy(&asked.stderr);
        assert!(!asked.status.success(), "the second is let in");
        assert!(said.contains("EADDRINUSE"), "{said}");
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
