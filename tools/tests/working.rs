//! Programs that go to a directory of the pathname space, and work there.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::fs;

use node::{Node, said};

#[test]
fn a_program_goes_to_a_directory_and_so_do_its_children() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let program = node.compile(include_str!("working/directory.c"), "directory");
    let system = node.folder().join("system");
    fs::write(&system, "").unwrap();
    let mut command = node.preloaded(program);
    command.arg("/qnet-test").arg(system).current_dir("/tmp");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_dir(node.host()).unwrap().count(), 0);
}

#[test]
fn shells_go_where_they_are_told() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    for (text, expected) in [
        ("cd $D && pwd && /bin/pwd", "/qnet-test\n/qnet-test\n"),
        (
            "cd $D; mkdir -p a/b; cd a/b; cd ..; pwd; ls; cd -",
            "/qnet-test/a\nb\n/qnet-test/a/b\n",
        ),
        ("cd $D/a/b; cd ../../..; pwd; ls -d etc", "/\netc\n"),
        (
            "cd $D; echo text > file; cat < file; cat ./file; find . -type f",
            "text\ntext\n./file\n",
        ),
        (
            "cd $D; (cd a; echo x > ../y); cat y; rm -r a file y; ls",
            "x\n",
        ),
        (
            // Up and out, to what is the system's.
            "cd $D; ls -d ../etc ../qnet-test; cmp ../etc/passwd /etc/passwd && ls -ld .. | cut -c1",
            "../etc\n../qnet-test\nd\n",
        ),
        (
            "cd $D; mkdir -p a/b; cd a/b; ls -d ../../../etc; test -e ../../../tmp && echo there; rm -r ../../a",
            "../../../etc\nthere\n",
        ),
        (
            "cd $D; env -i /bin/pwd 2> /dev/null || echo nowhere",
            "nowhere\n",
        ),
    ] {
        assert_eq!(node.script("sh", text), expected, "{text}");
    }
}

#[test]
fn git_and_make_work_on_another_nodes_files() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let text = "
        set -e
        export HOME=$D GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org \
               GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
        git init -q $D/tree && cd $D/tree
        printf 'int main(void) { return 0; }\n' > program.c
        printf 'program: program.c\n\tcc -o program program.c\n' > Makefile
        git add . && git commit -qm first
        git clone -q $D/tree $D/copy
        cd $D/copy
        cc -o program program.c
        cp program $OUT && $OUT
        echo '/* changed */' >> program.c
        git commit -qam second && git gc -q && git fsck --no-progress
        git log --format=%s
        git diff --stat HEAD~1 | tail -n 1";
    let text = text.replace("$OUT", node.folder().join("program").to_str().unwrap());
    let output = node.script("sh", &text);
    assert_eq!(output, "second\nfirst\n 1 file changed, 1 insertion(+)\n");
}
