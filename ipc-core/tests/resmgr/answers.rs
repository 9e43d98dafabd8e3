//! What a manager answers that it says nothing of itself: redirects, defaults, malformed messages, the stop.

use std::sync::atomic::Ordering;

use ipc_core::{
    Channel,
    abi::{
        ChannelFlags, Errno, PulseCode,
        io::{
            Connect, ConnectAnswer, DCMD_FSYS_STATVFS, Io, OpenFlags, ReadKind, Stat, StatVfs,
            Subtype, TimeSet, TimeSpec,
        },
    },
};

use crate::example::{Client, dispatch, elsewhere, read, with_manager};

#[test]
fn a_redirect_binds_nothing() {
    with_manager(|_, channel| {
        let client = Client::attach(channel);
        for subtype in [Subtype::Open, Subtype::Combine, Subtype::CombineClose] {
            let (status, bytes) = client.connect(&Connect::new(subtype, b"sign")).unwrap();
            assert_eq!(
                ConnectAnswer::parse(status, &bytes),
                Ok(ConnectAnswer::Redirect(elsewhere()))
            );
        }
        assert_eq!(client.io(Io::Stat), Err(Errno::EBADF));
    });
}

// covers: RMG-1
#[test]
fn what_a_manager_leaves_out_has_a_default() {
    with_manager(|_, channel| {
        let client = Client::attach(channel);
        for subtype in [
            Subtype::Unlink,
            Subtype::Mkdir,
            Subtype::Rmdir,
            Subtype::Mknod,
            Subtype::ResolveNode,
        ] {
            assert_eq!(
                client.connect(&Connect::new(subtype, b"x")),
                Err(Errno::ENOSYS),
                "{subtype:?}"
            );
        }
        assert_eq!(
            client.connect(&Connect::new(Subtype::Readlink, b"x")),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            client.connect(&Connect::new(Subtype::Resolve, b"x")),
            Ok((0, vec![]))
        );
        let readable = Connect {
            mode: 4,
            ..Connect::new(Subtype::Access, b"")
        };
        assert_eq!(client.connect(&readable), Ok((0, vec![])));
        let open = Client::open(channel, "", OpenFlags::empty());
        let when = TimeSet::To(TimeSpec {
            seconds: 3,
            nanoseconds: 4,
        });
        open.io(Io::Utime {
            atime: TimeSet::Omit,
            mtime: when,
        })
        .unwrap();
        open.io(Io::Chmod { mode: 0o600 }).unwrap();
        let stat = Stat::parse(&open.io(Io::Stat).unwrap().1).unwrap();
        assert_eq!((stat.mode, stat.mtime.seconds), (0o20_600, 3));
        assert_eq!(
            open.io(Io::Notify {
                events: 5,
                arm: false,
                code: 0,
                value: 0
            }),
            Ok((5, vec![]))
        );
        assert_eq!(
            open.io(Io::Pathconf {
                name: libc::_PC_NAME_MAX as u32
            }),
            Ok((255, vec![]))
        );
        assert_eq!(
            open.io(Io::Devctl {
                command: 1,
                len: 0,
                reply_len: 0
            }),
            Err(Errno::ENOTTY)
        );
        assert_eq!(
            open.io(StatVfs::MESSAGE),
            Ok((0, StatVfs::WITHOUT_BLOCKS.encode().to_vec()))
        );
        assert_eq!(
            open.io(Io::Devctl {
                command: DCMD_FSYS_STATVFS,
                len: 0,
                reply_len: StatVfs::LEN as u32 - 1,
            }),
            Err(Errno::EINVAL)
        );
        assert_eq!(open.io(Io::Sync { data_only: true }), Ok((0, vec![])));
        for message in [
            Io::Fdinfo,
            Io::Shutdown { how: 2 },
            Io::Power { mode: 0 },
            Io::Mmap {
                protection: 1,
                offset: 0,
            },
        ] {
            assert_eq!(open.io(message), Err(Errno::ENOSYS), "{message:?}");
        }
    });
}

#[test]
fn malformed_messages_are_answered_and_hurt_nobody() {
    with_manager(|_, channel| {
        let client = Client::open(channel, "", OpenFlags::empty());
        let mut connect = Connect::new(Subtype::Open, b"").encode().unwrap();
        connect[24] = 200;
        assert_eq!(client.send(&connect, 0), Err(Errno::EBADMSG));
        assert_eq!(client.send(&[0, 1], 0), Err(Errno::EBADMSG));
        assert_eq!(client.send(&[1, 1, 0], 0), Err(Errno::EBADMSG));
        assert_eq!(client.send(&[], 0), Err(Errno::ENOSYS));
        assert_eq!(client.send(&[0, 9, 9, 9], 0), Err(Errno::ENOSYS));
        let mut enormous = Connect::new(Subtype::Open, b"").encode().unwrap();
        enormous.resize(100_000, 0);
        assert_eq!(client.send(&enormous, 0), Err(Errno::EMSGSIZE));
        let write = Io::Write {
            len: 1 << 30,
            kind: ReadKind::Next,
        };
        assert_eq!(client.send(&write.encode(), 0), Err(Errno::EBADMSG));
        assert_eq!(client.io(read(5)), Ok((5, b"Hello".to_vec())));
    });
}

#[test]
fn a_stop_closes_what_is_open_and_a_pulse_of_the_application_passes() {
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    let dispatch = dispatch(3);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| dispatch.run(&channel));
        let _open = Client::open(&channel, "", OpenFlags::empty());
        channel.send_pulse(10, PulseCode::MAX_AVAIL, 1).unwrap();
        let again = Client::open(&channel, "", OpenFlags::empty());
        assert_eq!(again.io(read(5)), Ok((5, b"Hello".to_vec())));
        dispatch.stop(&channel).unwrap();
        assert_eq!(serving.join().unwrap(), Ok(()));
        assert_eq!(dispatch.manager().closed.load(Ordering::SeqCst), 2);
    });
}
