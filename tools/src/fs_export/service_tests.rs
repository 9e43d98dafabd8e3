use std::fs;
use std::path::Path;

use ipc_core::abi::io::{DirEntries, Extra, Io, Subtype, TimeSpec, chain};
use ipc_core::abi::{ChannelFlags, Nd, Pid};
use ipc_core::resmgr::Dispatch;
use ipc_core::{Channel, Connection};
use nix::sys::statvfs::statvfs;

use super::*;

/// Runs `test` against a service of `root`.
fn with_service(root: &Path, read_only: bool, test: impl FnOnce(&Channel)) {
    let tree = Tree::new(root, read_only).unwrap();
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    let dispatch = std::thread::scope(|scope| {
        // Finding out gives up the groups of the thread that asks.
        let identity = scope.spawn(Identity::of_process).join().unwrap();
        Dispatch::new(Service::new(tree, identity)).threads(2)
    });
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| dispatch.run(&channel));
        let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&channel)));
        dispatch.stop(&channel).unwrap();
        serving.join().unwrap().unwrap();
        if let Err(panic) = tested {
            std::panic::resume_unwind(panic);
        }
    });
}

struct Client(Connection);

impl Client {
    fn attach(channel: &Channel) -> Client {
        Client(Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap())
    }

    fn open(channel: &Channel, path: &str, flags: OpenFlags) -> Result<Client> {
        let client = Client::attach(channel);
        let open = Connect {
            flags,
            mode: 0o640,
            ..Connect::new(Subtype::Open, path.as_bytes())
        };
        client.send(&open.encode()?, 0)?;
        Ok(client)
    }

    fn name(&self, connect: &Connect<'_>) -> Result<()> {
        self.send(&connect.encode()?, 4096).map(drop)
    }

    fn on_path(&self, path: &str, flags: OpenFlags, message: Io) -> Result<Vec<u8>> {
        let parts = chain(&[message]);
        let connect = Connect {
            flags,
            extra: Extra::Combine(&parts),
            ..Connect::new(Subtype::CombineClose, path.as_bytes())
        };
        Ok(self.send(&connect.encode()?, 4096)?.1)
    }

    fn io(&self, message: Io, room: usize) -> Result<(i64, Vec<u8>)> {
        self.send(&message.encode(), room)
    }

    fn statvfs(&self) -> StatVfs {
        let (_, answer) = self.io(StatVfs::MESSAGE, StatVfs::ANSWER_LEN).unwrap();
        StatVfs::parse(&answer).unwrap()
    }

    fn read(&self, len: usize) -> Result<Vec<u8>> {
        let (status, bytes) = self.io(
            Io::Read {
                len: len as u32,
                kind: ReadKind::Next,
            },
            len,
        )?;
        assert_eq!(usize::try_from(status), Ok(bytes.len()));
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8]) -> Result<usize> {
        let header = Io::Write {
            len: bytes.len() as u32,
            kind: ReadKind::Next,
        }
        .encode();
        let (status, _) = self.send(&[&header[..], bytes].concat(), 0)?;
        Ok(usize::try_from(status).unwrap())
    }

    fn send(&self, message: &[u8], room: usize) -> Result<(i64, Vec<u8>)> {
        let mut reply = vec![0; room];
        let answer = self.0.send(message, &mut reply)?;
        reply.truncate(answer.len);
        Ok((answer.status, reply))
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rk")).unwrap();
    fs::write(
        folder.path().join("rk/filename"),
        "This is message passing\n",
    )
    .unwrap();
    folder
}

#[test]
fn a_file_is_written_and_read_by_messages() {
    let folder = folder();
    with_service(folder.path(), false, |channel| {
        let writer = Client::open(channel, "rk/new", OpenFlags::WRONLY | OpenFlags::CREAT).unwrap();
        assert_eq!(writer.write(b"This is message passing\n"), Ok(24));
        writer.io(Io::Close, 0).unwrap();
        assert_eq!(
            fs::read(folder.path().join("rk/new")).unwrap(),
            b"This is message passing\n"
        );
        let reader = Client::open(channel, "rk/filename", OpenFlags::empty()).unwrap();
        assert_eq!(reader.read(4), Ok(b"This".to_vec()));
        assert_eq!(
            reader
                .io(
                    Io::Lseek {
                        offset: -8,
                        whence: Whence::End
                    },
                    0
                )
                .unwrap()
                .0,
            16
        );
        assert_eq!(reader.read(100), Ok(b"passing\n".to_vec()));
        assert_eq!(reader.read(100), Ok(vec![]));
    });
}

#[test]
fn a_file_larger_than_any_buffer_arrives_whole() {
    let folder = folder();
    let bytes: Vec<u8> = (0..5_000_000_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    with_service(folder.path(), false, |channel| {
        let file = Client::open(channel, "big", OpenFlags::RDWR | OpenFlags::CREAT).unwrap();
        assert_eq!(file.write(&bytes), Ok(bytes.len()));
        assert!(fs::read(folder.path().join("big")).unwrap() == bytes);
        file.io(
            Io::Lseek {
                offset: 0,
                whence: Whence::Set,
            },
            0,
        )
        .unwrap();
        assert!(file.read(bytes.len() + 10).unwrap() == bytes);
    });
}

#[test]
fn an_appending_file_is_where_it_wrote() {
    let folder = folder();
    with_service(folder.path(), false, |channel| {
        let file =
            Client::open(channel, "rk/filename", OpenFlags::RDWR | OpenFlags::APPEND).unwrap();
        assert_eq!(file.write(b"more"), Ok(4));
        assert_eq!(
            file.io(
                Io::Lseek {
                    offset: 0,
                    whence: Whence::Current
                },
                0
            )
            .unwrap()
            .0,
            28
        );
    });
}

#[test]
fn a_directory_is_read_as_entries() {
    let folder = folder();
    with_service(folder.path(), false, |channel| {
        let dir = Client::open(channel, "", OpenFlags::DIRECTORY).unwrap();
        let bytes = dir.read(4096).unwrap();
        let mut names: Vec<_> = DirEntries::new(&bytes)
            .map(|entry| entry.unwrap().name.to_vec())
            .collect();
        names.sort();
        assert_eq!(names, [&b"."[..], b"..", b"rk"]);
        assert_eq!(dir.read(4096), Ok(vec![]));
    });
}

#[test]
fn attributes_of_a_path_take_one_message() {
    let folder = folder();
    with_service(folder.path(), false, |channel| {
        let client = Client::attach(channel);
        let stat = |path| Stat::parse(&client.on_path(path, OpenFlags::PATH, Io::Stat)?);
        assert_eq!(stat("rk/filename").unwrap().size, 24);
        assert!(stat("rk").unwrap().is_dir());
        assert_eq!(stat("none"), Err(Errno::ENOENT));
        client
            .on_path("rk/filename", OpenFlags::PATH, Io::Chmod { mode: 0o600 })
            .unwrap();
        let then = TimeSet::To(TimeSpec {
            seconds: 7,
            nanoseconds: 8,
        });
        client
            .on_path(
                "rk/filename",
                OpenFlags::PATH,
                Io::Utime {
                    atime: TimeSet::Omit,
                    mtime: then,
                },
            )
            .unwrap();
        let cut = Io::Space {
            kind: Space::Truncate,
            start: 0,
            len: 4,
        };
        client
            .on_path("rk/filename", OpenFlags::WRONLY, cut)
            .unwrap();
        let after = stat("rk/filename").unwrap();
        assert_eq!((after.mode & 0o7777, after.size), (0o600, 4));
    });
}

#[test]
fn the_room_of_the_file_system_is_the_hosts() {
    let folder = folder();
    let host = statvfs(folder.path()).unwrap();
    for read_only in [false, true] {
        with_service(folder.path(), read_only, |channel| {
            for path in ["", "rk/filename"] {
                let file = Client::open(channel, path, OpenFlags::empty()).unwrap();
                let found = file.statvfs();
                assert_eq!(
                    (found.blocks, found.fragment_len, found.id),
                    (host.blocks(), host.fragment_size(), host.filesystem_id())
                );
                assert!(found.blocks_available <= found.blocks_free);
                assert!(found.blocks_free <= found.blocks);
                assert_eq!(found.flags & libc::ST_RDONLY != 0, read_only);
                let by_name =
                    Client::attach(channel).on_path(path, OpenFlags::PATH, StatVfs::MESSAGE);
                assert_eq!(StatVfs::parse(&by_name.unwrap()).unwrap().id, found.id);
            }
        });
    }
}

#[test]
fn names_are_made_moved_and_removed() {
    let folder = folder();
    with_service(folder.path(), false, |channel| {
        let client = Client::attach(channel);
        client
            .name(&Connect {
                mode: 0o750,
                ..Connect::new(Subtype::Mkdir, b"new")
            })
            .unwrap();
        let rename = Connect {
            extra: Extra::Path(b"new/there"),
            ..Connect::new(Subtype::Rename, b"rk/filename")
        };
        client.name(&rename).unwrap();
        let link = Connect {
            extra: Extra::Path(b"new/there"),
            ..Connect::new(Subtype::Link, b"again")
        };
        client.name(&link).unwrap();
        let symlink = Connect {
            extra: Extra::Data(b"again"),
            ..Connect::new(Subtype::Symlink, b"soft")
        };
        client.name(&symlink).unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join("soft")).unwrap(),
            "This is message passing\n"
        );
        let (status, text) = client
            .send(
                &Connect::new(Subtype::Readlink, b"soft").encode().unwrap(),
                64,
            )
            .unwrap();
        assert_eq!((status, &text[..]), (5, &b"again"[..]));
        client
            .name(&Connect::new(Subtype::Unlink, b"new/there"))
            .unwrap();
        client.name(&Connect::new(Subtype::Rmdir, b"new")).unwrap();
        assert_eq!(
            client.name(&Connect::new(Subtype::Rmdir, b"new")),
            Err(Errno::ENOENT)
        );
        assert_eq!(
            client.name(&Connect {
                mode: 4,
                ..Connect::new(Subtype::Access, b"again")
            }),
            Ok(())
        );
    });
}

#[test]
fn a_client_is_not_led_outside() {
    let folder = folder();
    std::os::unix::fs::symlink("/etc", folder.path().join("etc")).unwrap();
    with_service(&folder.path().join("rk"), false, |channel| {
        for path in ["..", "../etc/passwd", "/etc/passwd"] {
            let opened = Client::open(channel, path, OpenFlags::empty());
            assert_eq!(opened.err(), Some(Errno::EACCES), "{path}");
        }
    });
}

#[test]
fn a_read_only_export_changes_nothing() {
    let folder = folder();
    with_service(folder.path(), true, |channel| {
        let client = Client::attach(channel);
        client
            .on_path("rk/filename", OpenFlags::PATH, Io::Stat)
            .unwrap();
        for message in [
            Io::Chmod { mode: 0 },
            Io::Chown {
                uid: Some(1),
                gid: None,
            },
        ] {
            assert_eq!(
                client.on_path("rk/filename", OpenFlags::PATH, message),
                Err(Errno::EROFS)
            );
        }
        assert_eq!(
            client.name(&Connect::new(Subtype::Unlink, b"rk/filename")),
            Err(Errno::EROFS)
        );
        let made = Client::open(channel, "new", OpenFlags::WRONLY | OpenFlags::CREAT);
        assert_eq!(made.err(), Some(Errno::EROFS));
    });
}

#[test]
fn a_full_disk_is_a_short_write_and_then_enospc() {
    let folder = tempfile::tempdir().unwrap();
    // The mount is private to a thread that ends with this test; the tree's descriptor keeps it alive.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let small = mount_small_disk(folder.path());
            if let Err(errno) = small {
                eprintln!("skipped: needs the right to mount: {errno}");
                return;
            }
            with_service(folder.path(), false, |channel| {
                let file = Client::open(channel, "f", OpenFlags::RDWR | OpenFlags::CREAT).unwrap();
                let written = file.write(&vec![1; 2 << 20]).unwrap();
                assert!(
                    (1..=1 << 20).contains(&written),
                    "{written} bytes on a disk of 1 MiB"
                );
                assert_eq!(file.write(&[1; 4096]), Err(Errno::ENOSPC));
                let room = file.statvfs();
                assert_eq!(room.blocks * room.fragment_len, 1 << 20);
                assert_eq!(room.blocks_available, 0);
                assert_eq!(
                    Client::attach(channel).name(&Connect::new(Subtype::Unlink, b"f")),
                    Ok(())
                );
            });
        });
    });
}

fn mount_small_disk(at: &Path) -> nix::Result<()> {
    use nix::mount::{MsFlags, mount};
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=1m"),
    )
}

#[test]
fn what_a_client_leaves_open_is_closed_with_it() {
    let folder = folder();
    with_service(folder.path(), false, |channel| {
        let count = || {
            fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter(|fd| leads_to(fd, folder.path()))
                .count()
        };
        let files: Vec<_> = (0..10)
            .map(|_| Client::open(channel, "rk/filename", OpenFlags::empty()).unwrap())
            .collect();
        assert_eq!(count(), 11, "ten files and the root");
        drop(files);
        for _ in 0..2000 {
            if count() == 1 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("the files stay open");
    });
}

fn leads_to(fd: &std::io::Result<fs::DirEntry>, folder: &Path) -> bool {
    fd.as_ref()
        .is_ok_and(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.starts_with(folder)))
}
