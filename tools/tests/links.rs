//! Two links per node: one after the other fails under load, and policies choose among them.

mod support;

use tools::netlab::{Cut, Lab};

use support::transfer::{go_on, run, start, start_on};
use support::{lab, output, text, until, until_reached};

#[test]
#[ignore = "run by the tests here as the part of magenta: transfers"]
fn part_transfer() {
    run();
}

/// What magenta's qnet says of its paths to wintermute: (interface, state).
fn paths(lab: &Lab) -> Vec<(String, String)> {
    let stats = text(lab.exec("magenta", "qn").args(["cat", "/net/.stats"]));
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("it is JSON");
    let nodes = stats["nodes"].as_array().expect("a list");
    let paths = nodes
        .iter()
        .flat_map(|node| node["paths"].as_array().expect("a list"));
    let word = |value: &serde_json::Value| value.as_str().expect("a word").to_owned();
    paths
        .map(|path| (word(&path["interface"]), word(&path["state"])))
        .collect()
}

/// Waits until a path through the interface is in this state.
fn wait_for(lab: &Lab, interface: &str, state: &str) {
    until(|| {
        let mut paths = paths(lab).into_iter();
        paths.find(|path| (path.0.as_str(), path.1.as_str()) == (interface, state))
    });
}

/// Frames that magenta sent through each of its links.
fn sent(lab: &Lab) -> Vec<u64> {
    let status = lab.status().expect("it runs");
    let magenta = &status.nodes[0];
    magenta
        .links
        .iter()
        .map(|cable| cable.link.tx.frames)
        .collect()
}

fn one_link_after_the_other_fails(how: Cut) {
    let Some(lab) = lab(&["--links", "2"]) else {
        return;
    };
    let mut transfer = start(&lab);
    wait_for(&lab, "eth0", "up");
    wait_for(&lab, "eth1", "up");
    for round in 0..4 {
        let link = round % 2;
        // Now the end of the one node, now that of the other.
        let node = ["magenta", "wintermute"][usize::from(round >= 2)];
        lab.cut_link(node, link, how).expect("it is there");
        go_on(&mut transfer);
        lab.cut_link(node, link, Cut::None).expect("it is there");
        wait_for(&lab, ["eth0", "eth1"][link], "up");
    }
    go_on(&mut transfer);
    transfer.kill();
}

// covers: NET-4, NET-8
#[test]
fn a_transfer_outlives_each_link_that_loses_its_carrier() {
    one_link_after_the_other_fails(Cut::Link);
}

// covers: NET-4, NET-8
#[test]
fn a_transfer_outlives_each_link_that_falls_silent() {
    one_link_after_the_other_fails(Cut::Both);
}

// covers: NET-4, NET-8
#[test]
fn a_transfer_outlives_each_link_that_carries_one_way_only() {
    one_link_after_the_other_fails(Cut::From);
}

// covers: NET-5, NET-8
#[test]
fn both_links_cut_end_a_transfer_like_one_that_was_alone() {
    let Some(lab) = lab(&["--links", "2"]) else {
        return;
    };
    let mut transfer = start(&lab);
    wait_for(&lab, "eth1", "up");
    lab.cut("wintermute", Cut::Both).expect("it is there");
    assert!(transfer.next("ended").starts_with("EHOSTDOWN"));
    transfer.wait();
    lab.heal("wintermute").expect("it is there");
    until_reached(&lab, "magenta", "/net/wintermute/home");
}

// covers: NET-8
#[test]
fn policies_choose_the_link_that_frames_take() {
    let Some(lab) = lab(&["--links", "2"]) else {
        return;
    };
    for (policy, chosen) in [
        ("exclusive:eth1", 1),
        ("exclusive:eth0", 0),
        ("preferred:eth1", 1),
        ("preferred:eth0", 0),
    ] {
        let path = format!("/net/wintermute~{policy}/home/file");
        let mut transfer = start_on(&lab, &path);
        wait_for(&lab, "eth0", "up");
        wait_for(&lab, "eth1", "up");
        let before = sent(&lab);
        go_on(&mut transfer);
        let after = sent(&lab);
        transfer.kill();
        let moved = [after[0] - before[0], after[1] - before[1]];
        // Eight chunks there and back are some 2,800 frames and their acknowledgements.
        assert!(
            moved[chosen] > 1000 && moved[1 - chosen] * 20 < moved[chosen],
            "{policy}: {moved:?}"
        );
    }
}

// covers: NET-8
#[test]
fn a_preferred_link_that_is_cut_is_stood_in_for() {
    let Some(lab) = lab(&["--links", "2"]) else {
        return;
    };
    let mut transfer = start_on(&lab, "/net/wintermute~preferred:eth1/home/file");
    wait_for(&lab, "eth0", "up");
    lab.cut_link("magenta", 1, Cut::Both).expect("it is there");
    go_on(&mut transfer);
    lab.cut_link("magenta", 1, Cut::None).expect("it is there");
    wait_for(&lab, "eth1", "up");
    go_on(&mut transfer);
    transfer.kill();
}

// covers: NET-5, NET-8
#[test]
fn an_exclusive_link_that_is_cut_is_an_error_though_the_other_lives() {
    let Some(lab) = lab(&["--links", "2"]) else {
        return;
    };
    let mut plain = start(&lab);
    wait_for(&lab, "eth1", "up");
    for how in [Cut::Both, Cut::Link] {
        let mut transfer = start_on(&lab, "/net/wintermute~exclusive:eth1/home/other");
        lab.cut_link("wintermute", 1, how).expect("it is there");
        assert!(transfer.next("ended").starts_with("EHOSTUNREACH"));
        transfer.wait();
        go_on(&mut plain);
        lab.cut_link("wintermute", 1, Cut::None)
            .expect("it is there");
        wait_for(&lab, "eth1", "up");
    }
    plain.kill();
}

// covers: NET-8
#[test]
fn a_link_that_is_not_there_cannot_be_asked_for() {
    let Some(lab) = lab(&["--links", "2"]) else {
        return;
    };
    let path = "/net/wintermute~exclusive:eth7/home";
    let refused = output(lab.exec("magenta", "qn").args(["ls", path]));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("ENODEV"));
    let log = text(
        lab.exec("magenta", "sh")
            .args(["-c", "cat $NETLAB_DIR/log/qnet.log"]),
    );
    assert!(log.contains("eth7"), "the log names the cause: {log}");
}
