//! Descriptors that programs hand to one another: what a shell does with `<` and `>`.
//!
//! Files are opened by one image of a process and used by the next, by children, and by both in turns; they share
//! one offset, as on any other file.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use node::{Node, said};

/// Scripts, and what each prints.
const SCRIPTS: &[(&str, &str)] = &[
    ("echo builtin > $D/f; cat $D/f", "builtin\n"),
    ("/bin/echo program > $D/f; cat < $D/f", "program\n"),
    (
        "echo first > $D/f; echo second >> $D/f; cat < $D/f",
        "first\nsecond\n",
    ),
    (
        "for i in 1 2; do echo $i; /bin/echo p$i; done > $D/f; cat < $D/f",
        "1\np1\n2\np2\n",
    ),
    (
        "(echo a; cat; /bin/echo z) < $D/in > $D/f; cat $D/f",
        "a\none\ntwo\nthree\nz\n",
    ),
    (
        // One reads a line, byte by byte; another goes on where it stopped.
        "(read first; cat; echo $first) < $D/in",
        "two\nthree\none\n",
    ),
    ("env nice timeout 60 cat < $D/in", "one\ntwo\nthree\n"),
    (
        "exec 3> $D/f; echo kept >&3; /bin/echo given >&3; exec 3>&-; cat $D/f",
        "kept\ngiven\n",
    ),
    (
        "sh -c 'echo out; echo err >&2' > $D/f 2>&1; cat $D/f",
        "out\nerr\n",
    ),
    ("sh -c 'sh -c \"exec cat\"' < $D/in", "one\ntwo\nthree\n"),
    ("cat $D/in | sort | cat > $D/f; head -n 1 $D/f", "one\n"),
    (
        "cat /dev/stdin < $D/in; tail -n 1 4< $D/in < /dev/fd/4",
        "one\ntwo\nthree\nthree\n",
    ),
    ("sort -r $D/in -o $D/f; head -n 1 < $D/f", "two\n"),
    ("printf 'x %s\\n' y > $D/f; wc -c < $D/f | tr -d ' '", "4\n"),
    ("cat > $D/f << END\nhere\nEND\ncat $D/f", "here\n"),
    // What is closed at exec, or before it, the next image has not.
    (
        "(exec 3< $D/in; exec 3<&-; cat <&3) 2> /dev/null || echo closed",
        "closed\n",
    ),
];

#[test]
fn shells_redirect_to_and_from_files_of_the_pathname_space() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let shells = ["sh", "bash"].into_iter().filter(|shell| {
        let found = Command::new(shell).args(["-c", ":"]).status();
        found.is_ok_and(|status| status.success())
    });
    for shell in shells {
        for (text, expected) in SCRIPTS {
            fs::write(node.host().join("in"), "one\ntwo\nthree\n").unwrap();
            assert_eq!(node.script(shell, text), *expected, "{shell}: {text}");
            let file = node.host().join("f");
            if file.exists() {
                fs::remove_file(file).unwrap();
            }
        }
    }
}

#[test]
fn children_of_every_kind_share_a_file_and_hurt_their_parent_in_nothing() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    fs::write(node.host().join("in"), "one\ntwo\nthree\n").unwrap();
    let program = node.compile(include_str!("redirected/children.c"), "children");
    let output = node.preloaded(program).arg("/qnet-test").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let written = fs::read_to_string(node.host().join("out")).unwrap();
    assert_eq!(written, "parent\nforked\nspawned\nborrowed\nparent again\n");
}

#[test]
fn a_program_without_the_library_reads_and_changes_nothing_through_an_inherited_descriptor() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    fs::write(node.host().join("in"), "one\n").unwrap();
    let text = "(unset LD_PRELOAD; exec cat) < $D/in > /dev/null 2>&1 || echo refused; \
                (unset LD_PRELOAD; exec /bin/echo x) >> $D/in 2> /dev/null || echo refused; cat $D/in";
    assert_eq!(node.script("sh", text), "refused\nrefused\none\n");
}

#[test]
fn a_file_is_open_at_its_server_as_long_as_somebody_has_it() {
    let node = Node::start();
    let export = node.export("/qnet-test");
    fs::write(node.host().join("in"), "one\n").unwrap();
    // The shell has become `sleep`, which never uses what it inherited.
    let mut child = node
        .preloaded("sh")
        .args(["-c", "exec < /qnet-test/in; exec sleep 600"])
        .spawn()
        .unwrap();
    let name = format!("/proc/{}/comm", child.id());
    let is_open = || is_open(export.id(), &node.host().join("in"));
    until(|| fs::read(&name).unwrap() == b"sleep\n" && is_open());
    child.kill().unwrap();
    child.wait().unwrap();
    until(|| !is_open());
}

/// Whether a process has a file open.
fn is_open(process: u32, file: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let mut links = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.any(|link| link == file)
}

/// Waits until it is so. A hang, not slowness, ends the wait.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(300), "it never was");
        thread::sleep(Duration::from_millis(5));
    }
}
