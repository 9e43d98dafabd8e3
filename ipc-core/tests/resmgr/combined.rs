//! Messages of several parts.

use std::sync::atomic::Ordering;

use ipc_core::abi::{
    Errno,
    io::{Connect, Extra, Io, OpenFlags, ReadKind, Stat, Subtype, Whence, chain},
    limits::COMBINED_MAX,
};

use crate::example::{Client, read, with_manager};

// covers: RMG-3
#[test]
fn combined_parts_run_in_order_on_one_ocb() {
    with_manager(|dispatch, channel| {
        let client = Client::attach(channel);
        let parts = chain(&[
            Io::Lseek {
                offset: 7,
                whence: Whence::Set,
            },
            Io::Stat,
            read(5),
        ]);
        let open = Connect {
            extra: Extra::Combine(&parts),
            ..Connect::new(Subtype::Combine, b"")
        };
        let (status, bytes) = client.connect(&open).unwrap();
        assert_eq!(status, 5);
        assert_eq!(Stat::parse(&bytes).unwrap().mode, 0o20_644);
        assert_eq!(&bytes[Stat::LEN..], b"world");
        // The connection is the file, behind what the parts have read.
        assert_eq!(client.io(read(5)), Ok((1, b"\n".to_vec())));
        let (status, bytes) = client
            .send(
                &chain(&[
                    Io::Lseek {
                        offset: 0,
                        whence: Whence::Set,
                    },
                    read(2),
                ]),
                64,
            )
            .unwrap();
        assert_eq!((status, &bytes[..]), (2, &b"He"[..]));
        assert_eq!(dispatch.manager().closed.load(Ordering::SeqCst), 0);
    });
}

// covers: RMG-3
#[test]
fn stat_of_a_path_is_one_message_and_leaves_nothing_open() {
    with_manager(|dispatch, channel| {
        let client = Client::attach(channel);
        let parts = chain(&[Io::Stat]);
        let by_name = Connect {
            flags: OpenFlags::PATH,
            extra: Extra::Combine(&parts),
            ..Connect::new(Subtype::CombineClose, b"")
        };
        let (_, bytes) = client.connect(&by_name).unwrap();
        assert_eq!(Stat::parse(&bytes).unwrap().mode, 0o20_644);
        assert_eq!(dispatch.manager().closed.load(Ordering::SeqCst), 1);
        assert_eq!(client.io(Io::Stat), Err(Errno::EBADF));
    });
}

// covers: RMG-3
#[test]
fn a_part_that_fails_ends_the_message_and_the_open() {
    with_manager(|dispatch, channel| {
        let client = Client::attach(channel);
        let parts = chain(&[
            Io::Lseek {
                offset: -1,
                whence: Whence::Set,
            },
            read(5),
        ]);
        let open = Connect {
            extra: Extra::Combine(&parts),
            ..Connect::new(Subtype::Combine, b"")
        };
        assert_eq!(client.connect(&open), Err(Errno::EINVAL));
        assert_eq!(client.io(read(1)), Err(Errno::EBADF));
        assert_eq!(dispatch.manager().closed.load(Ordering::SeqCst), 1);
    });
}

// covers: RMG-1, RMG-3
#[test]
fn a_combined_message_has_its_ocb_to_itself_and_no_other_asks_for_that() {
    with_manager(|dispatch, channel| {
        let client = Client::open(channel, "", OpenFlags::empty());
        let example = dispatch.manager();
        let held = || example.held.load(Ordering::SeqCst);
        client.io(read(1)).unwrap();
        assert_eq!(held(), 0);
        client.send(&chain(&[Io::Stat, read(1)]), 4096).unwrap();
        assert_eq!(held(), 1);
        // One that fails has it no longer than one that does not.
        let write = Io::Write {
            len: 0,
            kind: ReadKind::Next,
        };
        let failed = client.send(&chain(&[Io::Stat, write]), 4096);
        assert_eq!((failed, held()), (Err(Errno::EBADF), 2));
        let parts = chain(&[Io::Stat]);
        let open = Connect {
            extra: Extra::Combine(&parts),
            ..Connect::new(Subtype::Combine, b"")
        };
        client.connect(&open).unwrap();
        assert_eq!(held(), 3);
        assert_eq!(example.holding.load(Ordering::SeqCst), 0);
    });
}

/// A thread of the server is not a client's for as long as its message is long.
// covers: RMG-3
#[test]
fn a_message_combines_so_many_parts_and_no_more() {
    with_manager(|_, channel| {
        let client = Client::open(channel, "", OpenFlags::empty());
        let most = chain(&[Io::Sync { data_only: true }; COMBINED_MAX]);
        assert_eq!(client.send(&most, 0), Ok((0, vec![])));
        let more = chain(&[Io::Sync { data_only: true }; COMBINED_MAX + 1]);
        assert_eq!(client.send(&more, 0), Err(Errno::EMSGSIZE));
        assert_eq!(client.io(read(5)), Ok((5, b"Hello".to_vec())));
    });
}
