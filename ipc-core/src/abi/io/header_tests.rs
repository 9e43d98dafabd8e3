use super::*;

fn one_of_each() -> Vec<Io> {
    let time = TimeSet::To(TimeSpec {
        seconds: -5,
        nanoseconds: 999_999_999,
    });
    vec![
        Io::Read {
            len: 4096,
            kind: ReadKind::Next,
        },
        Io::Read {
            len: u32::MAX,
            kind: ReadKind::At(u64::MAX),
        },
        Io::Write {
            len: 3,
            kind: ReadKind::Next,
        },
        Io::Write {
            len: 0,
            kind: ReadKind::At(0),
        },
        Io::Stat,
        Io::Notify {
            events: 5,
            arm: true,
            code: 3,
            value: u64::MAX,
        },
        Io::Devctl {
            command: 0xc0de,
            len: 2,
            reply_len: 8,
        },
        Io::Pathconf { name: 3 },
        Io::Lseek {
            offset: -7,
            whence: Whence::End,
        },
        Io::Lseek {
            offset: 7,
            whence: Whence::Hole,
        },
        Io::Chmod { mode: 0o7777 },
        Io::Chown {
            uid: Some(0),
            gid: None,
        },
        Io::Chown {
            uid: None,
            gid: Some(u32::MAX),
        },
        Io::Utime {
            atime: TimeSet::Now,
            mtime: time,
        },
        Io::Utime {
            atime: time,
            mtime: TimeSet::Omit,
        },
        Io::Openfd {
            flags: 2,
            coid: Coid(Coid::SIDE_CHANNEL | 1),
        },
        Io::Fdinfo,
        Io::Lock {
            kind: LockKind::Exclusive,
            wait: true,
            start: 1,
            len: 0,
        },
        Io::Space {
            kind: Space::Truncate,
            start: 0,
            len: 1 << 40,
        },
        Io::Space {
            kind: Space::Allocate,
            start: 4096,
            len: 1,
        },
        Io::Shutdown { how: 2 },
        Io::Mmap {
            protection: 1,
            offset: 4096,
        },
        Io::Msg {
            manager: 9,
            number: 4,
            len: 1,
        },
        Io::Dup {
            pid: Pid::SELF,
            coid: Coid(-1),
        },
        Io::Close,
        Io::Sync { data_only: true },
        Io::Power { mode: 1 },
    ]
}

#[test]
fn every_message_is_parsed_back() {
    for message in one_of_each() {
        let bytes = message.encode();
        let len = IO_HEADER_LEN + message.payload_len();
        assert_eq!(
            IoPart::parse(&bytes, len),
            Ok(IoPart {
                message,
                next: None
            })
        );
    }
    for kind in IoType::ALL {
        assert!(
            one_of_each()
                .iter()
                .any(|message| message.io_type() == kind),
            "{kind:?} has no example"
        );
    }
}

#[test]
fn a_payload_beyond_what_was_sent_is_refused() {
    for message in one_of_each() {
        let len = IO_HEADER_LEN + message.payload_len();
        assert_eq!(
            IoPart::parse(&message.encode(), len - 1),
            Err(Errno::EBADMSG),
            "{message:?}"
        );
        assert_eq!(
            IoPart::parse(&message.encode()[..31], len),
            Err(Errno::EBADMSG)
        );
    }
    let endless = Io::Write {
        len: u32::MAX,
        kind: ReadKind::Next,
    };
    assert_eq!(IoPart::parse(&endless.encode(), 4096), Err(Errno::EBADMSG));
}

#[test]
fn a_field_that_the_type_does_not_use_must_be_zero() {
    for unused in [2, 8, 12, 16, 24] {
        let mut bytes = Io::Stat.encode();
        bytes[unused] = 1;
        assert_eq!(
            IoPart::parse(&bytes, 32),
            Err(Errno::EBADMSG),
            "byte {unused}"
        );
    }
}

#[test]
fn unknown_types_are_enosys_and_foreign_ones_ebadmsg() {
    let with_type = |number: u16| {
        let mut bytes = Io::Stat.encode();
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        IoPart::parse(&bytes, 32)
    };
    assert_eq!(with_type(0x1fe), Err(Errno::ENOSYS));
    assert_eq!(with_type(0x103), Err(Errno::ENOSYS));
    assert_eq!(with_type(0x100), Err(Errno::EBADMSG));
    assert_eq!(with_type(0x200), Err(Errno::EBADMSG));
}

#[test]
fn arguments_out_of_range_are_refused() {
    let mut seek = Io::Lseek {
        offset: 0,
        whence: Whence::Set,
    }
    .encode();
    seek[2] = 5;
    assert_eq!(IoPart::parse(&seek, 32), Err(Errno::EINVAL));
    let mut utime = Io::Utime {
        atime: TimeSet::To(TimeSpec::default()),
        mtime: TimeSet::Omit,
    }
    .encode();
    utime[8..12].fill(0xff);
    assert_eq!(IoPart::parse(&utime, 32), Err(Errno::EINVAL));
}

#[test]
fn a_chain_is_walked_in_order_and_never_backwards() {
    let messages = [
        Io::Stat,
        Io::Lseek {
            offset: 0,
            whence: Whence::Set,
        },
        Io::Close,
    ];
    let bytes = chain(&messages);
    let mut at = 0;
    for message in messages {
        let part = IoPart::parse(&bytes[at..], bytes.len() - at).unwrap();
        assert_eq!(part.message, message);
        at += part.next.unwrap_or(0);
    }
    for bad in [1u32, 31, 96, u32::MAX] {
        let mut bytes = chain(&messages);
        bytes[4..8].copy_from_slice(&bad.to_le_bytes());
        assert_eq!(
            IoPart::parse(&bytes, bytes.len()),
            Err(Errno::EBADMSG),
            "next at {bad}"
        );
    }
}
