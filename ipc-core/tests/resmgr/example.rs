//! A manager of a few files, its clients, and how a test runs against both.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Reply,
    abi::{
        ChannelFlags, Chid, Errno, Nd, Pid, Result,
        io::{Connect, Io, OpenFlags, ReadKind, Redirect, RedirectServer, Subtype},
    },
    resmgr::{Answer, Attr, ConnectFns, Context, Deferred, Dispatch, IoFns, Ocb, Opened, Outcome},
};

pub(crate) const TEXT: &[u8] = b"Hello, world\n";

/// A device that is read, a file that is written, a pipe that makes its readers wait, a sign that points
/// elsewhere.
pub(crate) struct Example {
    device: Arc<Attr>,
    written: Mutex<Vec<u8>>,
    pub(crate) waiting: Mutex<Vec<Deferred>>,
    pub(crate) closed: AtomicUsize,
    /// Messages that have the OCB to themselves now, and how many have had.
    pub(crate) holding: AtomicUsize,
    pub(crate) held: AtomicUsize,
}

#[derive(PartialEq)]
pub(crate) enum State {
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

pub(crate) fn elsewhere() -> Redirect {
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

    fn lock_ocb(&self, _context: &mut Context<'_>, _ocb: &Arc<Ocb<State>>) -> Result<()> {
        self.held.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.holding.fetch_add(1, Ordering::SeqCst), 0);
        Ok(())
    }

    fn unlock_ocb(&self, _context: &mut Context<'_>, _ocb: &Arc<Ocb<State>>) {
        assert_eq!(self.holding.fetch_sub(1, Ordering::SeqCst), 1);
    }

    fn close_ocb(&self, _ocb: &Arc<Ocb<State>>) -> Result<()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A dispatch of so many threads.
pub(crate) fn dispatch(threads: usize) -> Dispatch<Example> {
    let example = Example {
        device: Attr::device(0o644),
        written: Mutex::default(),
        waiting: Mutex::default(),
        closed: AtomicUsize::new(0),
        holding: AtomicUsize::new(0),
        held: AtomicUsize::new(0),
    };
    Dispatch::new(example).threads(threads)
}

/// Runs `test` against a dispatch of two threads.
pub(crate) fn with_manager(test: impl FnOnce(&Dispatch<Example>, &Channel)) {
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    let dispatch = dispatch(2);
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

pub(crate) struct Client(pub(crate) Connection);

impl Client {
    pub(crate) fn attach(channel: &Channel) -> Client {
        Client(Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap())
    }

    pub(crate) fn open(channel: &Channel, path: &str, flags: OpenFlags) -> Client {
        let client = Client::attach(channel);
        client
            .connect(&Connect {
                flags,
                ..Connect::new(Subtype::Open, path.as_bytes())
            })
            .unwrap();
        client
    }

    pub(crate) fn connect(&self, connect: &Connect<'_>) -> Result<(i64, Vec<u8>)> {
        self.send(&connect.encode().unwrap(), 16 << 10)
    }

    pub(crate) fn io(&self, message: Io) -> Result<(i64, Vec<u8>)> {
        self.send(&message.encode(), 4096)
    }

    pub(crate) fn send(&self, message: &[u8], room: usize) -> Result<(i64, Vec<u8>)> {
        let mut reply = vec![0; room];
        let Reply { status, len, .. } = self.0.send(message, &mut reply)?;
        reply.truncate(len);
        Ok((status, reply))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<i64> {
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

pub(crate) fn read(len: u32) -> Io {
    Io::Read {
        len,
        kind: ReadKind::Next,
    }
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}
