//! An open file: a connection, and I/O messages over it.

use std::{
    io::{IoSlice, IoSliceMut},
    path::Path,
    time::Instant,
};

use crate::{
    Connection, Reply,
    abi::{
        Coid, Errno, Pid, Result,
        io::{
            DevctlAnswer, IO_HEADER_LEN, Io, LockKind, ReadKind, Space, Stat, StatVfs, TimeSet,
            Whence,
        },
        limits::MSG_LEN_MAX,
    },
    file::{
        OpenOptions,
        handover::Survival,
        identity::{file_system_seen_from_here, seen_from_here},
    },
    proc::client::{
        arrive::{Arrival, send_until_done},
        pool::{self, Address},
    },
    trace,
};

/// Bytes that one read or write message carries; what is more goes in several (RMG-5).
pub(crate) const CHUNK_LEN: usize = 1 << 20;
const _: () = assert!(CHUNK_LEN + IO_HEADER_LEN <= MSG_LEN_MAX);

/// An open file of the pathname space, on whichever node it is.
///
/// The connection is the file: the server knows its offset and its mode by it. Dropping a file closes
/// it; [`File::close`] does the same and says what came of it.
pub struct File {
    server: Address,
    /// The server's node by its name, where it is known.
    node: Option<String>,
    survival: Survival,
    /// Gone once it is closed.
    connection: Option<Connection>,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, empty, and makes it if it is not there.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn create(path: impl AsRef<Path>) -> Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    }

    pub(super) fn from_arrival(arrival: Arrival) -> File {
        File {
            server: arrival.address(),
            node: arrival.hop.node,
            survival: Survival::default(),
            connection: Some(arrival.connection),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.server
    }

    pub(super) fn survival(&self) -> &Survival {
        &self.survival
    }

    /// The connection that is the file.
    pub fn connection(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("a file has its connection until it is closed")
    }

    /// Sends an I/O message with what belongs behind its header; the answer's bytes go to `reply`.
    ///
    /// # Errors
    /// What the server says; `EBADF` or `ESRCH` it is gone.
    pub fn send_io(&self, message: Io, payload: &[u8], reply: &mut [u8]) -> Result<Reply> {
        let connection = self.connection();
        let header = message.encode();
        let started = trace::start();
        let result = send_until_done(|| {
            let parts = [IoSlice::new(&header), IoSlice::new(payload)];
            connection.send_vectored(&parts, &mut [IoSliceMut::new(reply)])
        });
        if let Some(started) = started {
            self.trace_io(message, payload.len(), started, &result);
        }
        result
    }

    /// Reads into `buf` what follows the offset, which moves on: less than asked for at the end of the file
    /// or of what a device has, 0 at the end.
    ///
    /// # Errors
    /// What the server says, if nothing was read before.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize> {
        self.read_chunks(buf, None)
    }

    /// Reads at an offset; the file's own stays.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.read_chunks(buf, Some(offset))
    }

    /// Writes at the offset, which moves on.
    ///
    /// # Errors
    /// What the server says, if nothing was written before.
    pub fn write(&self, buf: &[u8]) -> Result<usize> {
        self.write_chunks(buf, None)
    }

    /// Writes at an offset; the file's own stays.
    ///
    /// # Errors
    /// As [`File::write`].
    pub fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        self.write_chunks(buf, Some(offset))
    }

    /// Moves the offset; answers the new one.
    ///
    /// # Errors
    /// `EINVAL` before the start, `ESPIPE` a device without offset.
    pub fn seek(&self, offset: i64, whence: Whence) -> Result<u64> {
        let reply = self.send_io(Io::Lseek { offset, whence }, &[], &mut [])?;
        u64::try_from(reply.status).map_err(|_| Errno::EBADMSG)
    }

    /// What is known of the file. Device and inode number tell it from every other file of this and other nodes
    /// (PTH-8).
    ///
    /// # Errors
    /// What the server says.
    #[doc(alias = "fstat")]
    pub fn stat(&self) -> Result<Stat> {
        let mut bytes = [0; Stat::LEN];
        let reply = self.send_io(Io::Stat, &[], &mut bytes)?;
        let said = Stat::parse(&bytes[..reply.len])?;
        Ok(seen_from_here(said, self.address()))
    }

    /// The room and the limits of the file system that the file is on.
    ///
    /// # Errors
    /// What the server says.
    #[doc(alias = "fstatvfs")]
    pub fn statvfs(&self) -> Result<StatVfs> {
        let mut bytes = [0; StatVfs::ANSWER_LEN];
        let reply = self.send_io(StatVfs::MESSAGE, &[], &mut bytes)?;
        let said = StatVfs::parse(&bytes[..reply.len])?;
        Ok(file_system_seen_from_here(said, self.address()))
    }

    /// Sends the device `command` with `argument`. What the device answers goes to `answer`, as far as it fits; how many
    /// bytes that are, and the command's own result, is the value.
    ///
    /// # Errors
    /// `ENOTTY` the device knows no such command, `EMSGSIZE` more than
    /// [`MSG_LEN_MAX`] bytes, `EBADMSG` an answer that is none; what the server says.
    #[doc(alias = "ioctl")]
    pub fn devctl(&self, command: u32, argument: &[u8], answer: &mut [u8]) -> Result<DevctlAnswer> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Errno::EMSGSIZE);
        let message = Io::Devctl {
            command,
            len: len(argument)?,
            reply_len: len(answer)?,
        };
        let mut bytes = vec![0; DevctlAnswer::LEN + answer.len()];
        let reply = self.send_io(message, argument, &mut bytes)?;
        let (said, data) = DevctlAnswer::parse(&bytes[..reply.len])?;
        answer[..data.len()].copy_from_slice(data);
        Ok(said)
    }

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the server says.
    #[doc(alias = "ftruncate")]
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.send_io(
            Io::Space {
                kind: Space::Truncate,
                start: 0,
                len,
            },
            &[],
            &mut [],
        )
        .map(drop)
    }

    /// Sets the permissions.
    ///
    /// # Errors
    /// What the server says.
    #[doc(alias = "fchmod")]
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        self.send_io(Io::Chmod { mode }, &[], &mut []).map(drop)
    }

    /// Sets the times.
    ///
    /// # Errors
    /// What the server says.
    #[doc(alias = "futimens")]
    pub fn set_times(&self, atime: TimeSet, mtime: TimeSet) -> Result<()> {
        self.send_io(Io::Utime { atime, mtime }, &[], &mut [])
            .map(drop)
    }

    /// Locks, unlocks or asks for a range: `len` bytes from `start` on, 0 for all that follow. The locks are the open
    /// file's, as those of `F_OFD_SETLK`: clones share them, and they go when the last of them is closed.
    ///
    /// # Errors
    /// `EAGAIN` somebody else has a part of it, `EBADF` not open for it, and what the server says: `ENOSYS` it knows
    /// no locks.
    #[doc(alias = "fcntl")]
    #[doc(alias = "flock")]
    pub fn lock(&self, kind: LockKind, start: u64, len: u64) -> Result<()> {
        let lock = Io::Lock {
            kind,
            wait: false,
            start,
            len,
        };
        self.send_io(lock, &[], &mut []).map(drop)
    }

    /// Blocks until everything written is on the device.
    ///
    /// # Errors
    /// What the server says.
    #[doc(alias = "fsync")]
    pub fn sync_all(&self) -> Result<()> {
        self.send_io(Io::Sync { data_only: false }, &[], &mut [])
            .map(drop)
    }

    /// As [`File::sync_all`], without attributes that are not needed to read the data back.
    ///
    /// # Errors
    /// What the server says.
    #[doc(alias = "fdatasync")]
    pub fn sync_data(&self) -> Result<()> {
        self.send_io(Io::Sync { data_only: true }, &[], &mut [])
            .map(drop)
    }

    /// Another file over a connection of its own that shares offset and mode with this one (RMG-2).
    ///
    /// # Errors
    /// Those of attaching, and what the server says.
    #[doc(alias = "dup")]
    pub fn try_clone(&self) -> Result<File> {
        let coid = self.connection().coid();
        File::sharing(self.server, self.node.clone(), Pid::SELF, coid)
    }

    /// A file over a connection of its own that shares the OCB which a process has over another.
    pub(super) fn sharing(
        server: Address,
        node: Option<String>,
        pid: Pid,
        coid: Coid,
    ) -> Result<File> {
        let copy = File {
            server,
            node,
            survival: Survival::default(),
            connection: Some(pool::attach(server)?),
        };
        let header = Io::Dup { pid, coid }.encode();
        send_until_done(|| copy.connection().send(&header, &mut []))?;
        Ok(copy)
    }

    /// Closes the file and says what came of it: an error of an earlier write may show only now.
    ///
    /// # Errors
    /// What the server says. The file is closed all the same.
    pub fn close(mut self) -> Result<()> {
        self.close_once()
    }

    fn close_once(&mut self) -> Result<()> {
        if self.connection.is_none() {
            return Ok(());
        }
        let result = self.send_io(Io::Close, &[], &mut []).map(drop);
        if let (Ok(()), Some(connection)) = (result, self.connection.take())
            && self.survival.set(&connection, false).is_ok()
        {
            pool::put(self.server, connection);
        }
        result
    }

    fn read_chunks(&self, buf: &mut [u8], offset: Option<u64>) -> Result<usize> {
        let mut done = 0;
        loop {
            let end = buf.len().min(done + CHUNK_LEN);
            let wanted = end - done;
            let message = Io::Read {
                len: wanted as u32,
                kind: place(offset, done),
            };
            match self.send_io(message, &[], &mut buf[done..end]) {
                Ok(reply) => {
                    let count = usize::try_from(reply.status).unwrap_or(0).min(reply.len);
                    done += count;
                    if count < wanted || done == buf.len() {
                        return Ok(done);
                    }
                }
                Err(errno) => return if done == 0 { Err(errno) } else { Ok(done) },
            }
        }
    }

    fn write_chunks(&self, buf: &[u8], offset: Option<u64>) -> Result<usize> {
        let mut done = 0;
        loop {
            let end = buf.len().min(done + CHUNK_LEN);
            let wanted = end - done;
            let message = Io::Write {
                len: wanted as u32,
                kind: place(offset, done),
            };
            match self.send_io(message, &buf[done..end], &mut []) {
                Ok(reply) => {
                    let count = usize::try_from(reply.status).unwrap_or(0).min(wanted);
                    done += count;
                    if count < wanted || done == buf.len() {
                        return Ok(done);
                    }
                }
                Err(errno) => return if done == 0 { Err(errno) } else { Ok(done) },
            }
        }
    }

    fn trace_io(&self, message: Io, payload_len: usize, started: Instant, result: &Result<Reply>) {
        let outcome = match result {
            Ok(reply) => format!("ok {}", reply.status),
            Err(errno) => format!("{errno:?}"),
        };
        trace::write(&trace::Event {
            who: "client",
            step: "4",
            nd: self.server.nd,
            pid: self.server.pid,
            chid: self.server.chid,
            node: self.node.as_deref(),
            message: &shown(message),
            sent_len: IO_HEADER_LEN + payload_len,
            reply_len: result.as_ref().map_or(0, |reply| reply.len),
            result: &outcome,
            elapsed: started.elapsed(),
        });
    }
}

fn place(offset: Option<u64>, done: usize) -> ReadKind {
    offset.map_or(ReadKind::Next, |offset| {
        ReadKind::At(offset.saturating_add(done as u64))
    })
}

/// A message as traces show it.
fn shown(message: Io) -> String {
    let name = format!("{:?}", message.io_type()).to_uppercase();
    match message {
        Io::Read { len, .. } => format!("_IO_READ up to {len} bytes"),
        Io::Write { len, .. } => format!("_IO_WRITE {len} bytes"),
        _ => format!("_IO_{name}"),
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Nobody is left to tell; whoever wants to know uses `close`.
        let _ = self.close_once();
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Address { nd, pid, chid } = self.server;
        f.debug_struct("File")
            .field("nd", &nd)
            .field("pid", &pid)
            .field("chid", &chid)
            .finish_non_exhaustive()
    }
}
