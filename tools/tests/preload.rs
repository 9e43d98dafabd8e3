//! Programs that know nothing of this project, on files that a filesystem manager serves.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use node::{Node, said};

#[test]
fn the_c_librarys_functions_work_as_on_any_other_file() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let program = node.compile(include_str!("preload/program.c"), "program");
    let output = node.preloaded(program).arg("/qnet-test").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_dir(node.host()).unwrap().count(), 0);
}

#[test]
fn locks_are_those_of_open_files() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let program = node.compile(include_str!("preload/locks.c"), "locks");
    let mut command = node.preloaded(program);
    let output = command.arg("/qnet-test/file").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn three_calls_write_a_line_and_no_file_of_the_system_is_made() {
    let node = Node::start();
    fs::create_dir(node.host().join("rk")).unwrap();
    let _export = node.export("/qnet-test");
    let source = r#"
        #include <fcntl.h>
        #include <unistd.h>
        int main(void) {
            int fd = open("/qnet-test/rk/filename", O_WRONLY | O_CREAT, 0644);
            if (fd < 0) return 1;
            if (write(fd, "This is message passing\n", 24) != 24) return 2;
            return close(fd) == 0 ? 0 : 3;
        }
    "#;
    let output = node
        .preloaded(node.compile(source, "seed"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let written = fs::read_to_string(node.host().join("rk/filename")).unwrap();
    assert_eq!(written, "This is message passing\n");
}

#[test]
fn the_systems_own_tools_copy_both_ways() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let (local, back) = (node.folder().join("local"), node.folder().join("back"));
    let bytes: Vec<u8> = (0..9_000_001_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8)
        .collect();
    fs::write(&local, &bytes).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = node.preloaded(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    run("cp", &[local.to_str().unwrap(), "/qnet-test/there"]);
    run("cp", &["/qnet-test/there", back.to_str().unwrap()]);
    assert!(fs::read(&back).unwrap() == bytes);
    run("cmp", &["/qnet-test/there", local.to_str().unwrap()]);
    run("mkdir", &["/qnet-test/a", "/qnet-test/a/b"]);
    run("mv", &["/qnet-test/there", "/qnet-test/a/b/moved"]);
    assert_eq!(run("ls", &["/qnet-test/a/b"]), "moved\n");
    assert_eq!(
        run("stat", &["-c", "%s", "/qnet-test/a/b/moved"]),
        "9000001\n"
    );
    assert_eq!(
        run("find", &["/qnet-test", "-type", "f"]),
        "/qnet-test/a/b/moved\n"
    );
    run("rm", &["-r", "/qnet-test/a"]);
    assert_eq!(fs::read_dir(node.host()).unwrap().count(), 0);
}

#[test]
fn the_systems_own_tools_keep_modes_edit_sort_and_find() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let local = node.folder().join("local");
    fs::create_dir(&local).unwrap();
    fs::write(local.join("script"), "b\na\nc\n").unwrap();
    fs::set_permissions(local.join("script"), fs::Permissions::from_mode(0o751)).unwrap();
    symlink("script", local.join("link")).unwrap();
    symlink("nowhere", local.join("dangling")).unwrap();
    let output = |program: &str, arguments: &[&str]| {
        let mut command = node.preloaded(program);
        command.args(arguments).current_dir(node.folder());
        command.output().unwrap()
    };
    let run = |program: &str, arguments: &[&str]| {
        let output = output(program, arguments);
        let (status, said) = (output.status, said(&output));
        assert!(status.success(), "{program} {arguments:?}: {said}");
        assert!(output.stderr.is_empty(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let mode = |name: &str| fs::metadata(node.host().join(name)).unwrap().mode() & 0o7777;

    run("cp", &["-a", "local", "/qnet-test/copy"]);
    assert_eq!(mode("copy/script"), 0o751);
    let time = |path: PathBuf| fs::symlink_metadata(path).unwrap().modified().unwrap();
    for name in ["script", "link", "dangling"] {
        let (from, to) = (local.join(name), node.host().join("copy").join(name));
        assert_eq!(time(from), time(to), "{name}");
    }
    run("cp", &["-p", "local/script", "/qnet-test/copy/again"]);
    assert_eq!(mode("copy/again"), 0o751);
    run(
        "install",
        &["-m", "600", "local/script", "/qnet-test/installed"],
    );
    assert_eq!(mode("installed"), 0o600);
    run("cp", &["-a", "/qnet-test/copy", "back"]);
    assert_eq!(
        fs::read_link(node.folder().join("back/link")).unwrap(),
        PathBuf::from("script")
    );

    run("sed", &["-i", "s/b/d/", "/qnet-test/copy/script"]);
    assert_eq!(
        fs::read_to_string(node.host().join("copy/script")).unwrap(),
        "d\na\nc\n"
    );
    assert_eq!(run("sort", &["/qnet-test/copy/script"]), "a\nc\nd\n");
    run("cp", &["/qnet-test/copy/script", "/qnet-test/sorted"]);
    run("sed", &["-i", "$!d", "/qnet-test/sorted"]);
    let made = run("mktemp", &["/qnet-test/tmp.XXXXXX"]);
    run("rm", &[made.trim_end()]);
    run("touch", &["-d", "2001-02-03", "/qnet-test/sorted"]);
    assert!(run("ls", &["-l", "/qnet-test/sorted"]).contains("2001"));
    let found = run(
        "find",
        &["/qnet-test", "-name", "s*", "-newermt", "2001-01-01"],
    );
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["/qnet-test/copy/script", "/qnet-test/sorted"]);
    assert_eq!(
        run("realpath", &["/qnet-test/copy/link"]),
        "/qnet-test/copy/script\n"
    );
    assert_eq!(run("tail", &["-n", "1", "/qnet-test/sorted"]), "c\n");

    for (program, arguments) in [
        ("cat", &["/qnet-test"][..]),
        ("grep", &["x", "/qnet-test/copy"]),
        ("head", &["/qnet-test/copy"]),
    ] {
        let output = output(program, arguments);
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(
            said(&output).contains("Is a directory"),
            "{}",
            said(&output)
        );
    }
    let refused = output("mkfifo", &["/qnet-test/pipe"]);
    assert!(
        said(&refused).contains("not permitted"),
        "{}",
        said(&refused)
    );
}

#[test]
fn df_and_statvfs_say_how_much_room_there_is() {
    let node = Node::start();
    fs::write(node.host().join("file"), "text").unwrap();
    let _export = node.export("/qnet-test");
    let host = nix::sys::statvfs::statvfs(&node.host()).unwrap();
    let kib = (host.blocks() * host.fragment_size() / 1024).to_string();
    for path in ["$D", "$D/file"] {
        let printed = node.script("sh", &format!("df -P -k {path}"));
        let columns: Vec<&str> = printed.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(columns[1], kib, "{printed}");
        assert!(columns[3].parse::<u64>().unwrap() > 0, "{printed}");
    }
}

#[test]
fn python_maps_files_to_read_them_and_asks_for_room() {
    let node = Node::start();
    fs::write(node.host().join("file"), "This is message passing\n").unwrap();
    let _export = node.export("/qnet-test");
    if !node
        .preloaded("python3")
        .args(["-c", ""])
        .output()
        .is_ok_and(|ran| ran.status.success())
    {
        return println!("skipped: python3 is not installed");
    }
    let script = r#"
import errno, mmap, os
path = os.environ["D"] + "/file"
with open(path, "rb") as file:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert view[8:15] == b"message" and len(view) == 24
        assert view.find(b"passing") == 16
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
        view[0:4] = b"That"
with open(path, "r+b") as file:
    try:
        mmap.mmap(file.fileno(), 0)
        raise SystemExit("a shared mapping that writes")
    except OSError as error:
        assert error.errno == errno.ENODEV
    assert file.read(4) == b"This"
room = os.statvfs(path)
assert 0 < room.f_bavail <= room.f_blocks and room.f_frsize > 0
print("done")
"#;
    assert_eq!(node.script("python3", script), "done\n");
}

#[test]
fn what_lies_above_a_prefix_is_there_unless_the_system_has_it() {
    let node = Node::start();
    fs::write(node.host().join("file"), "text").unwrap();
    let _export = node.export("/qnet-test/above/files");
    let _shadowed = node.export("/etc/qnet-test/files");
    for (text, expected) in [
        (
            "ls /qnet-test /qnet-test/above/files",
            "/qnet-test:\nabove\n\n/qnet-test/above/files:\nfile\n",
        ),
        ("stat -c %F /qnet-test/above", "directory\n"),
        (
            "cd /qnet-test && ls above && cat above/files/file",
            "files\ntext",
        ),
        ("find /qnet-test | wc -l", "4\n"),
        ("ls /qnet-test/none 2> /dev/null || echo none", "none\n"),
        (
            "(mkdir /qnet-test/new || mkdir /qnet-test) 2> /dev/null || echo refused",
            "refused\n",
        ),
        (
            "test -f /etc/passwd && ls /etc/qnet-test && echo both",
            "files\nboth\n",
        ),
        ("test -e /qnet-test-none || echo neither", "neither\n"),
    ] {
        assert_eq!(node.script("sh", text), expected, "{text}");
    }
    assert!(!Path::new("/qnet-test").exists());
}

/// A prefix that stands for a directory of the system's too is the node's, whatever is asked.
#[test]
fn nothing_happens_in_a_directory_of_the_system_that_has_the_name_of_a_prefix() {
    let node = Node::start();
    let shadowed = node.folder().join("shadowed");
    fs::create_dir(&shadowed).unwrap();
    let prefix = shadowed.to_str().unwrap();
    let _export = node.export(prefix);
    let program = node.compile(include_str!("preload/program.c"), "program");
    let output = node.preloaded(program).arg(prefix).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let script = "mktemp $1/x.XXXXXX; mktemp -d $1/d.XXXXXX; mkfifo $1/p; touch $1/t; cd $1 && touch here; \
                  cp /etc/passwd $1/s; sed -i s/a/b/ $1/s; ln -s t $1/l; ln $1/t $1/h; true";
    let output = node
        .preloaded("sh")
        .args(["-c", script, "sh", prefix])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_dir(&shadowed).unwrap().count(), 0);
    assert_eq!(
        fs::read_dir(node.host()).unwrap().count(),
        7,
        "{}",
        said(&output)
    );
}

#[test]
fn without_a_process_manager_everything_is_the_systems() {
    let node = Node::without_process_manager();
    let file = node.folder().join("file");
    fs::write(&file, "the system's").unwrap();
    let output = node.preloaded("cat").arg(&file).output().unwrap();
    assert_eq!(output.stdout, b"the system's", "{}", said(&output));
    let output = node
        .preloaded("cat")
        .arg("/qnet-test/file")
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("No such file"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_server_that_dies_is_an_error_and_no_hang() {
    let node = Node::start();
    fs::write(node.host().join("file"), "text").unwrap();
    let export = node.export("/qnet-test");
    // Reads, waits for a line, and tells how the next read ended.
    let source = r#"
        #include <errno.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <unistd.h>
        int main(void) {
            char byte, line[8];
            int fd = open("/qnet-test/file", O_RDONLY);
            if (read(fd, &byte, 1) != 1) return 1;
            puts("read"), fflush(stdout);
            if (!fgets(line, sizeof line, stdin)) return 2;
            if (read(fd, &byte, 1) != -1) return 3;
            int error = errno;
            close(fd);
            return error == EBADF || error == ESRCH ? 0 : 4;
        }
    "#;
    let mut command = node.preloaded(node.compile(source, "reader"));
    let mut reader = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 5];
    reader
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut word)
        .unwrap();
    export.kill();
    reader.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(reader.wait().unwrap().code(), Some(0));
    // And what comes after it serves again, without anything to clean up.
    let _again = node.export("/qnet-test");
    let output = node
        .preloaded("cat")
        .arg("/qnet-test/file")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"text", "{}", said(&output));
}
