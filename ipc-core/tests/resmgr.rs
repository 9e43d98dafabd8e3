//! Resource managers over real channels: one process, its own client (SND-6).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipc_core::abi::io::{
    Connect, ConnectAnswer, Extra, Io, OpenFlags, ReadKind, Redirect, RedirectServer, Stat,
    Subtype, TimeSet, TimeSpec, Whence, chain,
};
use ipc_core::abi::{ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Result};
use ipc_core::resmgr::{
    Answer, Attr, ConnectFns, Context, Deferred, Dispatch, IoFns, Ocb, Opened, Outcome,
};
use ipc_core::{Channel, Connection, Reply};

const TEXT: &[u8] = b"Hello, world\n";

/// A device that is read, a file that is written, a pipe that makes its readers wait, a sign that points
/// elsewhere.
struct Example {
    device: Arc<Attr>,
    written: Mutex<Vec<u8>>,
    waiting: Mutex<Vec<Deferred>>,
    closed: AtomicUsize,
}

#[derive(PartialEq)]
enum State {
    Device,
    File,
    Pipe,
}

impl ConnectFns for Example {
    type State = State;

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<State>> {
        let state = match connect.path {
            b"" => return Opened::device(context, connect, &self.device, State::Device),
            b"file" => State::File,
            b"pipe" => State::Pipe,
            b"sign" => return Ok(Opened::Redirect(elsewhere())),
            _ => return Err(Errno::ENOENT),
        };
        Ok(Opened::File(Ocb::new(
            context,
            connect.flags,
            Attr::device(0o666),
            state,
        )))
    }
}

fn elsewhere() -> Redirect {
    let server = RedirectServer {
        nd: Nd(3),
        pid: Pid::PROCMGR,
        chid: Chid::PROCMGR,
        handle: 0,
        flags: 0,
        prefix_len: 0,
        node_name: Some("wintermute".to_owned()),
    };
    Redirect {
        servers: vec![server],
        path: b"/home/rk".to_vec(),
    }
}

impl IoFns for Example {
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<State>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        match ocb.state() {
            State::Device => ocb.read_from(context, TEXT, len, kind),
            State::File => ocb.read_from(context, &self.written.lock().unwrap(), len, kind),
            State::Pipe => {
                self.waiting.lock().unwrap().push(context.defer()?);
                Ok(Answer::Later)
            }
        }
    }

    fn write(&self, context: &mut Context<'_>, ocb: &Arc<Ocb<State>>, _kind: ReadKind) -> Outcome {
        let len = context.payload_len();
        if *ocb.state() == State::Pipe {
            let deferred = self.waiting.lock().unwrap().pop().ok_or(Errno::EAGAIN)?;
            let bytes = context.payload()?;
            std::thread::spawn(move || {
                let mut deferred = deferred;
                deferred.put(&bytes).unwrap();
                deferred.reply(bytes.len() as i64).unwrap();
            });
            return Ok(len.into());
        }
        let mut written = self.written.lock().unwrap();
        let mut piece = [0; 1000];
        let mut at = 0;
        while at < len {
            let count = context.read_payload(at, &mut piece)?;
            written.extend_from_slice(&piece[..count]);
            at += count;
        }
        Ok(len.into())
    }

    fn close_ocb(&self, _ocb: &Arc<Ocb<State>>) -> Result<()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Runs `test` against a dispatch of two threads.
fn with_manager(test: impl FnOnce(&Dispatch<Example>, &Channel)) {
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    let dispatch = Dispatch::new(Example {
        device: Attr::device(0o644),
        written: Mutex::default(),
        waiting: Mutex::default(),
        closed: AtomicUsize::new(0),
    })
    .threads(2);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| dispatch.run(&channel));
        let tested =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&dispatch, &channel)));
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

    fn open(channel: &Channel, path: &str, flags: OpenFlags) -> Client {
        let client = Client::attach(channel);
        client
            .connect(&Connect {
                flags,
                ..Connect::new(Subtype::Open, path.as_bytes())
            })
            .unwrap();
        client
    }

    fn connect(&self, connect: &Connect<'_>) -> Result<(i64, Vec<u8>)> {
        self.send(&connect.encode().unwrap(), 16 << 10)
    }

    fn io(&self, message: Io) -> Result<(i64, Vec<u8>)> {
        self.send(&message.encode(), 4096)
    }

    fn send(&self, message: &[u8], room: usize) -> Result<(i64, Vec<u8>)> {
        let mut reply = vec![0; room];
        let Reply { status, len, .. } = self.0.send(message, &mut reply)?;
        reply.truncate(len);
        Ok((status, reply))
    }

    fn write(&self, bytes: &[u8]) -> Result<i64> {
        let mut message = Io::Write {
            len: bytes.len() as u32,
            kind: ReadKind::Next,
        }
        .encode()
        .to_vec();
        message.extend_from_slice(bytes);
        Ok(self.send(&message, 0)?.0)
    }
}

fn read(len: u32) -> Io {
    Io::Read {
        len,
        kind: ReadKind::Next,
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

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

#[test]
fn a_file_is_used_for_what_it_was_opened_for() {
    with_manager(|_, channel| {
        let reader = Client::open(channel, "file", OpenFlags::empty());
        assert_eq!(reader.write(b"x"), Err(Errno::EBADF));
        let writer = Client::open(channel, "file", OpenFlags::WRONLY);
        assert_eq!(writer.io(read(1)), Err(Errno::EBADF));
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
    let dispatch = Dispatch::new(Example {
        device: Attr::device(0o644),
        written: Mutex::default(),
        waiting: Mutex::default(),
        closed: AtomicUsize::new(0),
    })
    .threads(3);
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
