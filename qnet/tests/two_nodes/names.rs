//! Paths, descriptors, and an interface that is not up yet.

use std::{fs, process::Command};

use ipc_core::{
    Connection,
    abi::{
        Chid, Errno, Nd, Pid,
        io::{Connect, ConnectAnswer, Subtype},
        proc::PrefixFlags,
    },
    file, set_runtime_dir,
};

use crate::{
    lab::{NET, TestNode, attach, echo, resolve, role, start, start_qnet, two_nodes},
    support::{in_namespace, ip, make_veth},
};

#[test]
fn paths_lead_to_the_other_node_and_unknown_names_to_enoent() {
    in_namespace("names::inside_paths");
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
    // Through the own node's name it is another directory, and empty: who walks all it finds comes to an end.
    let (net, within) = (
        file::stat("/net").unwrap(),
        file::stat("/net/magenta/net").unwrap(),
    );
    assert!(within.is_dir() && within.dev == net.dev && within.ino != net.ino);
    assert_eq!(file::read_dir("/net/magenta/net/").unwrap().count(), 0);
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
    in_namespace("names::inside_not_up_yet");
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
    in_namespace("names::inside_descriptors");
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
fn a_second_node_on_an_interface_is_refused_and_the_first_goes_on() {
    in_namespace("names::inside_second_node");
}

// covers: NET-5
#[test]
#[ignore = "run by a_second_node_on_an_interface_is_refused_and_the_first_goes_on in its namespace"]
fn inside_second_node() {
    let (root, magenta, _wintermute) = two_nodes(1500, &[]);
    let nd = resolve(magenta.qnet.pid(), "wintermute").unwrap();
    ip("link add vc type veth peer name vd");
    let mut second = Command::new(env!("CARGO_BIN_EXE_qnet"));
    second
        .args(["--name", "straylight", "--interface", "vc,va"])
        .env("QNET_RUNTIME_DIR", root.path().join("straylight"));
    let refused = second.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let holder = format!("process {} of", magenta.qnet.pid());
    assert!(
        said.contains(&holder) && said.contains("interface va"),
        "{said}"
    );
    assert!(said.contains("--ethertype 0x88b6"), "{said}");
    echo(&attach(nd), 100, 7);

    let third = root.path().join("third");
    fs::create_dir(&third).unwrap();
    let _server = start(role("server::role_server", &third));
    let _qnet = start_qnet(&third, "va", "third", &["--ethertype", "0x88b6"]);
    echo(&attach(nd), 100, 8);
}
