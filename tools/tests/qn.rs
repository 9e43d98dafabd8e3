//! The operator's command as someone types it: files both ways, tables, errors and exit codes.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Command, Output, Stdio},
};

use node::{Node, said};
use serde_json::Value;

fn command(node: &Node, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qn"));
    command
        .args(arguments)
        .env("QNET_RUNTIME_DIR", node.runtime())
        .env_remove("QNET_TRACE")
        .current_dir(node.folder());
    command
}

fn qn(node: &Node, arguments: &[&str]) -> Output {
    command(node, arguments).output().unwrap()
}

/// What it printed; it must have succeeded.
fn says(node: &Node, arguments: &[&str]) -> String {
    let output = qn(node, arguments);
    assert!(
        output.status.success(),
        "qn {arguments:?}: {}",
        said(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn json(node: &Node, arguments: &[&str]) -> Value {
    let text = says(node, &[&["--json"], arguments].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What it told standard error when it failed with this exit code.
fn fails(node: &Node, code: i32, arguments: &[&str]) -> String {
    let output = qn(node, arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "qn {arguments:?}: {}",
        said(&output)
    );
    String::from_utf8(output.stderr).unwrap()
}

/// Bytes that no two places of a file share by accident.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

#[test]
fn files_are_copied_both_ways_and_within() {
    let node = Node::start();
    let _home = node.export("/home");
    // More than one chunk, and not a whole number of them.
    let bytes = noise((5 << 20) + 321);
    fs::write(node.folder().join("report"), &bytes).unwrap();
    fs::set_permissions(
        node.folder().join("report"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();

    says(&node, &["cp", "host:report", "/home"]);
    assert_eq!(fs::read(node.host().join("report")).unwrap(), bytes);
    let mode = fs::metadata(node.host().join("report"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);

    says(&node, &["cp", "/home/report", "/home/again"]);
    let copied = json(&node, &["cp", "/home/again", "host:back"]);
    assert_eq!(copied["copied"][0]["len"], bytes.len());
    assert_eq!(fs::read(node.folder().join("back")).unwrap(), bytes);
    assert_eq!(qn(&node, &["cat", "/home/again"]).stdout, bytes);

    let same = fails(&node, 1, &["cp", "/home/again", "/home/./again"]);
    assert!(same.contains("are the same file"), "{same}");
    assert_eq!(
        fs::read(node.host().join("again")).unwrap(),
        bytes,
        "and it is not emptied"
    );
}

/// What is copied onto itself would be emptied first.
#[test]
fn no_file_is_copied_onto_itself_by_another_name() {
    let node = Node::start();
    let _home = node.export("/home");
    let (file, inner) = (node.host().join("file"), node.host().join("dir/inner"));
    fs::create_dir_all(&inner).unwrap();
    fs::write(&file, "kept").unwrap();
    fs::hard_link(&file, node.host().join("second")).unwrap();
    std::os::unix::fs::symlink("file", node.host().join("third")).unwrap();
    let host = format!("host:{}", file.display());
    for (from, to) in [
        ("/home/file", "/home/second"),
        ("/home/third", "/home/file"),
        (&host, "/home/file"),
        (&host, "/home"),
        ("/home/second", &host),
    ] {
        let said = fails(&node, 1, &["cp", from, to]);
        assert!(said.contains("are the same file"), "{from} {to}: {said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept", "{from} {to}");
    }
    let host = format!("host:{}", node.host().join("dir").display());
    for (from, to) in [
        (host.as_str(), "/home/dir/inner/new"),
        ("/home/dir", &format!("{host}/inner")),
        (&host, &format!("{host}/inner/new")),
    ] {
        let said = fails(&node, 1, &["cp", "-r", from, to]);
        assert!(said.contains("into itself"), "{from} {to}: {said}");
    }
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
}

#[test]
fn a_pipe_is_copied_from_and_to() {
    let node = Node::start();
    let _home = node.export("/home");
    let mut child = command(&node, &["cp", "-", "/home/text"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"out of a pipe\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(says(&node, &["cp", "/home/text", "-"]), "out of a pipe\n");
    let content = json(&node, &["cat", "/home/text"]);
    assert_eq!(content[0]["text"], "out of a pipe\n");
}

#[test]
fn directories_are_made_copied_renamed_and_removed() {
    let node = Node::start();
    let _home = node.export("/home");
    says(&node, &["mkdir", "-p", "/home/a/b/c"]);
    says(&node, &["mkdir", "-p", "/home/a/b/c"]);
    assert!(fails(&node, 1, &["mkdir", "/home/a"]).contains("EEXIST"));
    fs::write(node.host().join("a/b/file"), "x").unwrap();
    assert!(fails(&node, 1, &["cp", "/home/a", "/home/z"]).contains("qn cp -r"));
    says(&node, &["cp", "-r", "/home/a", "host:copy"]);
    assert_eq!(fs::read(node.folder().join("copy/b/file")).unwrap(), b"x");
    assert!(fails(&node, 1, &["cp", "-r", "/home/a", "/home/a/b"]).contains("into itself"));

    says(&node, &["mv", "/home/a/b/file", "/home/a"]);
    assert_eq!(says(&node, &["ls", "/home/a"]), "b/\nfile\n");
    assert_eq!(says(&node, &["ls", "/home/a/file"]), "/home/a/file\n");
    let told = fails(&node, 1, &["rm", "/home/a"]);
    assert!(
        told.contains("EISDIR") && told.contains("qn rm -d /home/a"),
        "{told}"
    );
    assert!(fails(&node, 1, &["rm", "-d", "/home/a"]).contains("ENOTEMPTY"));
    says(
        &node,
        &[
            "rm",
            "-d",
            "/home/a/file",
            "/home/a/b/c",
            "/home/a/b",
            "/home/a",
        ],
    );
    assert!(!node.host().join("a").exists());
}

/// What no server can rename is left where it is, and the way to move it is one that works.
#[test]
fn what_cannot_be_renamed_says_how_to_move_it() {
    let node = Node::start();
    let _home = node.export("/home");
    fs::create_dir_all(node.host().join("dir/in")).unwrap();
    fs::write(node.folder().join("report"), "x").unwrap();
    for (arguments, advice) in [
        (
            ["host:report", "/home"],
            "qn cp host:report /home && rm report",
        ),
        (
            ["/home/dir", "host:."],
            "qn cp -r /home/dir host:. && qn rm -r /home/dir",
        ),
        (["host:report", "host:other"], ": mv report other"),
        (["-", "/home/x"], ": qn cp - /home/x"),
        (
            ["/home/dir", "/home/dir/in"],
            "into itself, /home/dir/in/dir",
        ),
    ] {
        let told = fails(&node, 1, &[&["mv"], &arguments[..]].concat());
        assert!(told.contains(advice), "{arguments:?}: {told}");
        assert!(node.folder().join("report").exists() && node.host().join("dir").exists());
    }
    assert!(fails(&node, 2, &["mv", "report", "/home"]).contains("host:report"));
}

#[test]
fn a_directory_goes_with_all_below_it_but_not_with_what_is_mounted_there() {
    let node = Node::start();
    let _home = node.export("/home");
    let host = node.host();
    fs::create_dir_all(host.join("a/b/c")).unwrap();
    for file in ["kept", "a/one", "a/b/two", "a/b/c/three"] {
        fs::write(host.join(file), file).unwrap();
    }
    std::os::unix::fs::symlink("../kept", host.join("a/to-a-file")).unwrap();
    std::os::unix::fs::symlink("..", host.join("a/to-above")).unwrap();
    assert!(fails(&node, 1, &["rm", "/home/a"]).contains("qn rm -r /home/a"));
    says(&node, &["rm", "-r", "/home/a"]);
    let left: Vec<_> = fs::read_dir(&host)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["kept"], "links are removed, not followed");

    // The directory above belongs to the process manager, and what is exported there stays.
    let told = fails(&node, 1, &["rm", "-r", "/"]);
    assert!(
        told.contains("/home: another server") && told.contains("qn rm -r /home"),
        "{told}"
    );
    assert!(host.join("kept").exists());
    says(&node, &["rm", "-r", "/home/kept"]);
    assert!(fails(&node, 1, &["rm", "-r", "/home/kept"]).contains("ENOENT"));
    assert!(fails(&node, 2, &["rm", "-r", "-d", "/home"]).contains("--dir"));
}

// covers: PTH-8
#[test]
fn a_file_has_one_number_in_listings_and_in_stats_and_its_kernels_device() {
    let node = Node::start();
    let _home = node.export("/home");
    let _again = node.export("/again");
    fs::write(node.host().join("file"), "x").unwrap();
    let real = fs::metadata(node.host().join("file")).unwrap();
    let stat = |path: &str| json(&node, &["stat", path])[0].clone();
    for path in ["/home/file", "/again/file"] {
        let stat = stat(path);
        assert_eq!(
            (&stat["ino"], &stat["dev"]),
            (&real.ino().into(), &real.dev().into())
        );
    }
    // Directories of the process manager: the same number each time, one of their own each.
    let listed = ["/", "/dev", "/dev/name", "/home"].map(|path| {
        let found = stat(path);
        assert_eq!(found["ino"], stat(path)["ino"]);
        assert_ne!(found["ino"], 0);
        (found["dev"].to_string(), found["ino"].to_string())
    });
    let distinct: std::collections::HashSet<_> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "{listed:?}");
}

#[test]
fn what_is_known_of_files_is_shown() {
    let node = Node::start();
    let _home = node.export("/home");
    fs::write(node.host().join("file"), "12345").unwrap();
    std::os::unix::fs::symlink("file", node.host().join("link")).unwrap();
    let stat = json(&node, &["stat", "/home/link"]);
    assert_eq!(
        (&stat[0]["size"], &stat[0]["type"]),
        (&Value::from(5), &Value::from("file"))
    );
    let link = json(&node, &["stat", "-P", "/home/link"]);
    assert_eq!(link[0]["type"], "symbolic link");
    let long = says(&node, &["ls", "-l", "/home"]);
    assert!(
        long.lines().any(|line| line.ends_with("link -> file")),
        "{long}"
    );
    let listed = json(&node, &["ls", "-l", "/home"]);
    assert_eq!(listed[0]["entries"][0]["stat"]["size"], 5);
    assert_eq!(listed[0]["entries"][1]["target"], "file");
    assert!(says(&node, &["stat", "/home/file"]).contains("5 bytes"));
}

#[test]
fn tables_of_the_node_are_shown() {
    let node = Node::start();
    let _home = node.export("/home");
    let names = json(&node, &["names"]);
    assert_eq!(names[0]["path"], "/home");
    assert_eq!(names[0]["flags"], serde_json::json!(["dir"]));
    let processes = json(&node, &["ps"]);
    let names: Vec<_> = processes
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(names.contains(&&Value::from("procmgr")), "{names:?}");
    let receiver = |one: &Value| one["state"] == "RECEIVE";
    let blocked = json(&node, &["blocked"]);
    let receiver = blocked.as_array().unwrap().iter().find(|one| receiver(one));
    let receiver = receiver.expect("a server waits for messages");
    for unknown in ["tid", "coid", "priority"] {
        assert!(receiver[unknown].is_null(), "{unknown} is none: {receiver}");
    }
    // Only servers that wait: `qn blocked` itself, blocked on the process manager, is not among them.
    let states: Vec<&Value> = blocked
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert!(states.iter().all(|state| *state == "RECEIVE"), "{states:?}");
    let channels = json(&node, &["channels"]);
    assert_eq!(channels.as_array().unwrap().len(), 2);
    let received = |one: &Value| one["counters"]["messages"].as_u64().unwrap();
    assert!(
        channels
            .as_array()
            .unwrap()
            .iter()
            .any(|one| received(one) > 0),
        "the process manager was asked: {channels:#}"
    );
    assert!(
        json(&node, &["blocked"])
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["state"] == "RECEIVE")
    );
    for table in ["names", "ps", "channels", "blocked"] {
        assert!(says(&node, &[table]).lines().count() > 1, "{table}");
    }
}

#[test]
fn errors_say_cause_and_remedy_and_the_exit_code_says_whose_fault() {
    let node = Node::without_process_manager();
    // Builds the library, which stands beside the programs.
    let _ = node.preloaded("true");
    for arguments in [
        &["ls"][..],
        &["cat", "/x"],
        &["names"],
        &["run", "--", "true"],
    ] {
        let told = fails(&node, 1, arguments);
        assert!(
            told.contains("start it with: procmgr"),
            "{arguments:?}: {told}"
        );
    }
    let node = Node::start();
    assert!(fails(&node, 1, &["cat", "/x"]).contains("nobody has registered this path"));
    assert!(fails(&node, 1, &["net"]).contains("start it with: qnet"));
    for path in ["/net", "/net/wintermute"] {
        assert!(fails(&node, 1, &["ls", path]).contains("no qnet serves /net"));
    }
    // An empty setting is none.
    let unset = command(&node, &["--runtime-dir"])
        .arg(node.runtime())
        .arg("names")
        .env("QNET_RUNTIME_DIR", "")
        .output()
        .unwrap();
    assert!(unset.status.success(), "{}", said(&unset));
    let usage = fails(&node, 2, &["nothing"]);
    assert!(!usage.contains("--runtime-dir <DIR>"), "{usage}");
    assert!(fails(&node, 1, &["cat", "host:nowhere"]).contains("host:nowhere"));
    let error: Value = serde_json::from_str(&fails(&node, 1, &["--json", "cat", "/x"])).unwrap();
    assert_eq!(qn(&node, &["--json", "ls", "/x"]).stdout, b"[]\n");
    assert_eq!(error["errno"], "ENOENT");
    for wrong in [
        &["nothing"][..],
        &["cp", "/x"],
        &["cat"],
        &["cat", "relative"],
        &[],
    ] {
        fails(&node, 2, wrong);
    }
    // One that fails does not keep the others.
    let _home = node.export("/home");
    fs::write(node.host().join("file"), "text").unwrap();
    let output = qn(&node, &["cat", "/home/none", "/home/file"]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(1), &b"text"[..])
    );
}

#[test]
fn symbolic_links_never_lead_out_of_what_is_exported() {
    let node = Node::start();
    let _home = node.export("/home");
    let link = |text: &str, name: &str| {
        std::os::unix::fs::symlink(text, node.host().join(name)).unwrap();
    };
    fs::create_dir(node.host().join("sub")).unwrap();
    fs::write(node.host().join("sub/file"), "inside").unwrap();
    fs::write(node.folder().join("secret"), "outside").unwrap();
    link("sub", "within");
    link("sub/../sub/file", "around");
    link("../secret", "escape");
    link(node.folder().join("secret").to_str().unwrap(), "host");
    link("circle", "circle");
    assert_eq!(
        says(&node, &["cat", "/home/within/file", "/home/around"]),
        "insideinside"
    );
    for path in ["/home/escape", "/home/host"] {
        let output = qn(&node, &["cat", path]);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{path}"
        );
    }
    assert!(fails(&node, 1, &["cat", "/home/circle"]).contains("ELOOP"));
    assert_eq!(
        json(&node, &["stat", "-P", "/home/escape"])[0]["type"],
        "symbolic link"
    );
}

#[test]
fn a_program_that_is_run_sees_the_pathname_space_and_keeps_its_exit_code() {
    let node = Node::start();
    let _home = node.export("/srv");
    fs::write(node.host().join("file"), "through the C library").unwrap();
    // Makes the library; the command is not used.
    let _ = node.preloaded("true");
    let run = |arguments: &[&str]| {
        let library = node.folder().join("libqnet_preload.so");
        command(&node, &[&["run", "--"], arguments].concat())
            .env("QNET_PRELOAD", library)
            .output()
            .unwrap()
    };
    let output = run(&["cat", "/srv/file"]);
    assert_eq!(output.stdout, b"through the C library", "{}", said(&output));
    assert_eq!(run(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    let absent = run(&["no-such-program"]);
    assert_eq!(absent.status.code(), Some(127));
    let told = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(
        told.contains("no-such-program") && told.contains("PATH"),
        "{told}"
    );
    let absent = run(&["./nowhere"]);
    assert_eq!(absent.status.code(), Some(127), "{}", said(&absent));
    fs::write(node.folder().join("plain"), "text").unwrap();
    fs::write(node.folder().join("script"), "#!/no/such/interpreter\n").unwrap();
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(node.folder().join("script"), executable).unwrap();
    for (program, cause) in [
        ("./plain", "chmod +x"),
        ("./script", "interpreter"),
        ("/", "directory"),
    ] {
        let refused = run(&[program]);
        assert_eq!(refused.status.code(), Some(126), "{}", said(&refused));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains(cause), "{program}: {told}");
    }
}

#[test]
fn empty_files_are_copied_too() {
    let node = Node::start();
    let _home = node.export("/home");
    fs::write(node.host().join("empty"), "").unwrap();
    assert_eq!(says(&node, &["cat", "/home/empty", "/home/empty"]), "");
    says(&node, &["cp", "/home/empty", "host:empty"]);
    assert_eq!(fs::read(node.folder().join("empty")).unwrap(), b"");
}
