//! Messages of several parts.

use std::sync::atomic::Ordering;

use ipc_core::abi::{
    Errno,
    io::{Connect, Extra, Io, OpenFlags, Stat, Subtype, Whence, chain},
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
