//! Files that are opened, read, written, shared and closed.

use std::sync::atomic::Ordering;

use ipc_core::abi::{
    Errno, Pid,
    io::{Io, OpenFlags, ReadKind, Whence},
};

use crate::example::{Client, read, until, with_manager};

// covers: RMG-1, RMG-2
#[test]
fn a_device_is_opened_read_to_its_end_and_closed() {
    with_manager(|dispatch, channel| {
        let client = Client::open(channel, "", OpenFlags::empty());
        assert_eq!(client.io(read(5)), Ok((5, b"Hello".to_vec())));
        assert_eq!(client.io(read(100)), Ok((8, b", world\n".to_vec())));
        assert_eq!(client.io(read(100)), Ok((0, vec![])));
        let middle = Io::Read {
            len: 5,
            kind: ReadKind::At(7),
        };
        assert_eq!(client.io(middle), Ok((5, b"world".to_vec())));
        let back = Io::Lseek {
            offset: 1,
            whence: Whence::Set,
        };
        assert_eq!(client.io(back), Ok((1, vec![])));
        assert_eq!(client.io(read(4)), Ok((4, b"ello".to_vec())));
        assert_eq!(client.io(Io::Close), Ok((0, vec![])));
        assert_eq!(client.io(read(1)), Err(Errno::EBADF));
        assert_eq!(dispatch.manager().closed.load(Ordering::SeqCst), 1);
    });
}

// covers: RMG-2
#[test]
fn an_unknown_binding_is_ebadf() {
    with_manager(|_, channel| {
        let client = Client::attach(channel);
        for message in [
            read(1),
            Io::Stat,
            Io::Close,
            Io::Dup {
                pid: Pid::SELF,
                coid: client.0.coid(),
            },
        ] {
            assert_eq!(client.io(message), Err(Errno::EBADF), "{message:?}");
        }
    });
}

// covers: RMG-2
#[test]
fn a_duplicate_shares_offset_and_life_of_the_ocb() {
    with_manager(|dispatch, channel| {
        let first = Client::open(channel, "", OpenFlags::empty());
        let second = Client::attach(channel);
        second
            .io(Io::Dup {
                pid: Pid::SELF,
                coid: first.0.coid(),
            })
            .unwrap();
        first.io(read(7)).unwrap();
        assert_eq!(second.io(read(5)), Ok((5, b"world".to_vec())));
        first.io(Io::Close).unwrap();
        assert_eq!(dispatch.manager().closed.load(Ordering::SeqCst), 0);
        assert_eq!(second.io(read(5)), Ok((1, b"\n".to_vec())));
        second.io(Io::Close).unwrap();
        assert_eq!(dispatch.manager().closed.load(Ordering::SeqCst), 1);
    });
}

// covers: RMG-2
#[test]
fn a_client_that_goes_without_closing_is_closed() {
    with_manager(|dispatch, channel| {
        let client = Client::open(channel, "", OpenFlags::empty());
        let keeps_nothing = Client::open(channel, "file", OpenFlags::RDWR);
        drop(client);
        drop(keeps_nothing);
        until("both are closed", || {
            dispatch.manager().closed.load(Ordering::SeqCst) == 2
        });
    });
}

// covers: RMG-4
#[test]
fn a_reader_waits_until_another_thread_answers() {
    with_manager(|dispatch, channel| {
        let reader = Client::open(channel, "pipe", OpenFlags::empty());
        let writer = Client::open(channel, "pipe", OpenFlags::WRONLY);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| reader.io(read(100)));
            until("the reader waits", || {
                dispatch.manager().waiting.lock().unwrap().len() == 1
            });
            assert_eq!(writer.write(b"at last"), Ok(7));
            assert_eq!(waiting.join().unwrap(), Ok((7, b"at last".to_vec())));
        });
    });
}

// covers: RMG-5
#[test]
fn reads_and_writes_of_any_size_arrive_whole() {
    with_manager(|_, channel| {
        let client = Client::open(channel, "file", OpenFlags::RDWR);
        let mut expected = Vec::new();
        for len in [0usize, 1, 479, 480, 481, 4096, 5000, 1 << 20] {
            let bytes: Vec<u8> = (0..len).map(|index| (index * 7 + len) as u8).collect();
            assert_eq!(client.write(&bytes), Ok(len as i64));
            expected.extend(bytes);
        }
        let everything = Io::Read {
            len: expected.len() as u32,
            kind: ReadKind::At(0),
        };
        let (status, bytes) = client.send(&everything.encode(), expected.len()).unwrap();
        assert_eq!(status, expected.len() as i64);
        assert!(bytes == expected);
        // A reply buffer smaller than what is asked for bounds the read, and the offset with it.
        let (status, bytes) = client.send(&read(100).encode(), 10).unwrap();
        assert_eq!((status, &bytes[..]), (10, &expected[..10]));
        let (_, bytes) = client.send(&read(10).encode(), 10).unwrap();
        assert_eq!(bytes, &expected[10..20]);
    });
}

#[test]
fn a_file_is_used_for_what_it_was_opened_for() {
    with_manager(|_, channel| {
        let reader = Client::open(channel, "file", OpenFlags::empty());
        assert_eq!(reader.write(b"x"), Err(Errno::EBADF));
        let writer = Client::open(channel, "file", OpenFlags::WRONLY);
        assert_eq!(writer.io(read(1)), Err(Errno::EBADF));
    });
}
