use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A tree in a folder beside which a secret lies.
struct Example {
    folder: tempfile::TempDir,
    tree: Tree,
}

impl Example {
    fn new() -> Example {
        Example::with(false)
    }

    fn with(read_only: bool) -> Example {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), "inside").unwrap();
        fs::write(folder.path().join("secret"), "outside").unwrap();
        fs::create_dir(folder.path().join("away")).unwrap();
        let tree = Tree::new(&root, read_only).unwrap();
        Example { folder, tree }
    }

    fn host(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join("root").join(path)
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Opened> {
        self.tree.open(path.as_bytes(), flags, 0o644)
    }
}

const READ: OpenFlags = OpenFlags::empty();

#[test]
fn paths_inside_are_opened_also_with_dots_and_slashes() {
    let example = Example::new();
    for path in ["a/file", "a//file", "./a/./b/../file", "a/b/../../a/file"] {
        assert_eq!(
            example.open(path, READ).unwrap().file_type,
            FileType::Regular,
            "{path}"
        );
    }
    for path in ["", ".", "a", "a/", "a/b/.."] {
        assert_eq!(
            example.open(path, READ).unwrap().file_type,
            FileType::Directory,
            "{path}"
        );
    }
    assert_eq!(example.open("a/file/", READ).unwrap_err(), Errno::ENOTDIR);
    assert_eq!(example.open("a/none", READ).unwrap_err(), Errno::ENOENT);
}

#[test]
fn nothing_leads_outside() {
    let example = Example::new();
    symlink("../secret", example.host("relative")).unwrap();
    symlink("/etc/passwd", example.host("absolute")).unwrap();
    symlink("../away", example.host("folder")).unwrap();
    symlink("/proc/self/root", example.host("magic")).unwrap();
    for path in [
        "..",
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "relative",
        "absolute",
        "magic/etc/passwd",
    ] {
        for flags in [
            READ,
            OpenFlags::RDWR,
            OpenFlags::CREAT | OpenFlags::WRONLY,
            OpenFlags::PATH,
        ] {
            assert_eq!(
                example.open(path, flags).unwrap_err(),
                Errno::EACCES,
                "{path} {flags:?}"
            );
        }
    }
    let tree = &example.tree;
    for path in ["../new", "folder/new", "/tmp/fs-export-must-not-make-this"] {
        let path = path.as_bytes();
        assert_eq!(tree.mkdir(path, 0o755), Err(Errno::EACCES));
        assert_eq!(tree.mknod(path, 0o10_644), Err(Errno::EACCES));
        assert_eq!(tree.symlink(path, b"x"), Err(Errno::EACCES));
        assert_eq!(tree.rename(b"a/file", path), Err(Errno::EACCES));
        assert_eq!(tree.link(b"a/file", path), Err(Errno::EACCES));
    }
    assert_eq!(tree.unlink(b"../secret"), Err(Errno::EACCES));
    assert_eq!(tree.rmdir(b"../away"), Err(Errno::EACCES));
    assert_eq!(tree.rename(b"../secret", b"stolen"), Err(Errno::EACCES));
    assert_eq!(tree.link(b"../secret", b"stolen"), Err(Errno::EACCES));
    assert_eq!(tree.link(b"folder/", b"stolen"), Err(Errno::ENOTDIR));
    assert_eq!(tree.readlink(b"folder/"), Err(Errno::EACCES));
    assert_eq!(
        tree.access(b"../secret", Access::empty()),
        Err(Errno::EACCES)
    );
    assert_eq!(
        fs::read_to_string(example.folder.path().join("secret")).unwrap(),
        "outside"
    );
}

#[test]
fn a_link_that_leads_out_can_be_removed_renamed_and_read() {
    let example = Example::new();
    symlink("../secret", example.host("link")).unwrap();
    assert_eq!(example.tree.readlink(b"link").unwrap(), b"../secret");
    example.tree.rename(b"link", b"a/link").unwrap();
    let by_name = example
        .open("a/link", OpenFlags::PATH | OpenFlags::NOFOLLOW)
        .unwrap();
    assert_eq!(by_name.file_type, FileType::Symlink);
    example.tree.unlink(b"a/link").unwrap();
    assert!(example.folder.path().join("secret").exists());
}

#[test]
fn links_that_stay_inside_are_followed() {
    let example = Example::new();
    symlink("a/file", example.host("link")).unwrap();
    symlink("../a", example.host("a/up")).unwrap();
    assert_eq!(
        example.open("link", READ).unwrap().file_type,
        FileType::Regular
    );
    assert_eq!(
        example.open("a/up/file", READ).unwrap().file_type,
        FileType::Regular
    );
    assert_eq!(
        example.open("link", OpenFlags::NOFOLLOW).unwrap_err(),
        Errno::ELOOP
    );
}

#[test]
fn files_are_made_cut_and_made_only_once() {
    let example = Example::new();
    let make = OpenFlags::CREAT | OpenFlags::WRONLY;
    example.open("new", make).unwrap();
    assert_eq!(
        example.open("new", make | OpenFlags::EXCL).unwrap_err(),
        Errno::EEXIST
    );
    example.open("newer", make | OpenFlags::EXCL).unwrap();
    example
        .open("a/file", OpenFlags::WRONLY | OpenFlags::TRUNC)
        .unwrap();
    assert_eq!(fs::metadata(example.host("a/file")).unwrap().len(), 0);
    assert_eq!(
        example.open("a", OpenFlags::WRONLY).unwrap_err(),
        Errno::EISDIR
    );
}

#[test]
fn names_are_changed_where_they_are() {
    let example = Example::new();
    let tree = &example.tree;
    tree.mkdir(b"made/", 0o750).unwrap();
    tree.rename(b"a/file", b"made/file").unwrap();
    tree.link(b"made/file", b"again").unwrap();
    assert_eq!(fs::read_to_string(example.host("again")).unwrap(), "inside");
    assert_eq!(tree.rmdir(b"made"), Err(Errno::ENOTEMPTY));
    tree.unlink(b"made/file").unwrap();
    tree.rmdir(b"made").unwrap();
    assert_eq!(tree.unlink(b"a"), Err(Errno::EISDIR));
    assert_eq!(tree.unlink(b"again/"), Err(Errno::ENOTDIR));
    assert_eq!(tree.rmdir(b""), Err(Errno::EBUSY));
    assert_eq!(tree.rmdir(b"a/.."), Err(Errno::EBUSY));
    assert_eq!(tree.mkdir(b"", 0o755), Err(Errno::EEXIST));
    assert_eq!(tree.unlink(b"."), Err(Errno::EISDIR));
}

#[test]
fn what_is_no_file_of_the_tree_is_named_but_not_opened() {
    let example = Example::new();
    example.tree.mknod(b"fifo", 0o10_644).unwrap();
    for flags in [READ, OpenFlags::WRONLY, OpenFlags::RDWR] {
        assert_eq!(example.open("fifo", flags).unwrap_err(), Errno::ENXIO);
    }
    assert_eq!(
        example.open("fifo", OpenFlags::PATH).unwrap().file_type,
        FileType::Fifo
    );
    assert_eq!(example.tree.mknod(b"device", 0o20_666), Err(Errno::EPERM));
    example.tree.unlink(b"fifo").unwrap();
}

#[test]
fn a_read_only_tree_is_read_and_nothing_else() {
    let example = Example::with(true);
    let tree = &example.tree;
    example.open("a/file", READ).unwrap();
    example.open("a/file", OpenFlags::CREAT).unwrap();
    for flags in [OpenFlags::WRONLY, OpenFlags::RDWR, OpenFlags::TRUNC] {
        assert_eq!(
            example.open("a/file", flags).unwrap_err(),
            Errno::EROFS,
            "{flags:?}"
        );
    }
    assert_eq!(
        example.open("new", OpenFlags::CREAT).unwrap_err(),
        Errno::EROFS
    );
    assert_eq!(tree.unlink(b"a/file"), Err(Errno::EROFS));
    assert_eq!(tree.mkdir(b"new", 0o755), Err(Errno::EROFS));
    assert_eq!(tree.access(b"a/file", Access::WRITE), Err(Errno::EROFS));
    assert_eq!(tree.access(b"a/file", Access::READ), Ok(()));
}

#[test]
fn flags_without_a_meaning_here_are_dropped_or_refused() {
    let direct = OpenFlags(0o40000);
    assert_eq!(host_flags(direct), Ok(OFlag::O_RDONLY));
    assert_eq!(
        host_flags(OpenFlags(libc::O_TMPFILE as u32 | 2)),
        Err(Errno::EOPNOTSUPP)
    );
    assert_eq!(host_flags(OpenFlags(3)), Err(Errno::EINVAL));
}

#[test]
fn a_path_with_a_zero_byte_is_einval() {
    let example = Example::new();
    assert_eq!(
        example.tree.open(b"a\0", READ, 0).unwrap_err(),
        Errno::EINVAL
    );
    assert_eq!(example.tree.unlink(b"a\0"), Err(Errno::EINVAL));
}
