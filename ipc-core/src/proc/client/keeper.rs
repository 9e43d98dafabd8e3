//! Keeps the registrations of this process at the process manager, also when that dies and comes back.
//!
//! One connection carries them all. When its server dies, the connection's monitor wakes the keeper's
//! thread, which waits for the process manager to return and registers everything again, in the order in
//! which it was first registered. Until then the thread sleeps: no polling, no system calls.
//!
//! Whoever registers, or takes back, has it done in the background and waits [`PROCMGR_TIMEOUT`] at most: a process
//! manager that is stopped holds nobody up for longer, and gets what it was to be told when it goes on.

use std::{
    path::Path,
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    Connection,
    abi::{
        Chid, Errno, Nd, Pid, Result,
        limits::PROCMGR_TIMEOUT,
        proc::{RegistrationId, Unregister},
    },
    proc::{
        Pathname,
        client::{arrive::send_until_done, background::Background, watch::Watch},
    },
    runtime_dir,
    sys::{fork::PerLife, mutex::lock, own_thread},
};

/// Something to keep registered.
#[derive(Debug)]
pub(super) struct Entry {
    path: Pathname,
    message: Vec<u8>,
    /// The process that registered it: a forked child has a copy that is none of its business.
    owner: u32,
    /// What the process manager of now calls it; 0 while none has it.
    id: AtomicU64,
}

impl Entry {
    pub(super) fn path(&self) -> &Pathname {
        &self.path
    }

    fn id(&self) -> Option<RegistrationId> {
        let id = self.id.load(Ordering::Acquire);
        (id != 0).then_some(RegistrationId(id))
    }

    fn set_id(&self, id: Option<RegistrationId>) {
        self.id.store(id.map_or(0, |id| id.0), Ordering::Release);
    }
}

#[derive(Default)]
pub(super) struct Keeper {
    /// Held while the process manager is asked, which may take any time: by the keeper's own threads alone.
    kept: Mutex<Kept>,
    /// Never held for long.
    connection: Mutex<Option<Arc<Connection>>>,
    background: Background,
    /// Set by the monitor thread, which must not wait for `kept`.
    is_lost: Mutex<bool>,
    lost: Condvar,
}

#[derive(Default)]
struct Kept {
    /// Oldest first.
    entries: Vec<Arc<Entry>>,
    has_thread: bool,
}

/// The keeper of this process.
pub(super) fn keeper() -> &'static Keeper {
    static KEEPER: PerLife<Keeper> = PerLife::new();
    KEEPER.get()
}

impl Keeper {
    /// Registers, and keeps it so until [`Keeper::unregister`].
    ///
    /// # Errors
    /// `ETIMEDOUT` when the process manager does not answer: what it registers later is taken back at once.
    pub(super) fn register(&'static self, path: Pathname, message: Vec<u8>) -> Result<Arc<Entry>> {
        let asked = self.background.ask(
            PROCMGR_TIMEOUT,
            move || self.register_now(path, message),
            move |registered| {
                if let Ok(entry) = registered {
                    self.unregister_now(&entry);
                }
            },
        );
        asked.unwrap_or(Err(Errno::ETIMEDOUT))
    }

    fn register_now(&'static self, path: Pathname, message: Vec<u8>) -> Result<Arc<Entry>> {
        let mut kept = self.lock();
        self.start_thread(&mut kept)?;
        let connection = self.reconnect(&kept)?;
        let id = send_register(&connection, &message)?;
        let entry = Arc::new(Entry {
            path,
            message,
            owner: process::id(),
            id: AtomicU64::new(id.0),
        });
        kept.entries.push(Arc::clone(&entry));
        Ok(entry)
    }

    /// Takes it back. When the process manager does not answer, it is told as soon as it does.
    pub(super) fn unregister(&'static self, entry: &Arc<Entry>) {
        if entry.owner != process::id() {
            return;
        }
        let entry = Arc::clone(entry);
        let act = move || self.unregister_now(&entry);
        self.background.hand(PROCMGR_TIMEOUT, act);
    }

    fn unregister_now(&self, entry: &Arc<Entry>) {
        let mut kept = self.lock();
        kept.entries.retain(|other| !Arc::ptr_eq(other, entry));
        if let (Some(connection), Some(id)) = (self.connection(), entry.id()) {
            // It is gone from a process manager that is gone.
            let _ = send_until_done(|| connection.send(&Unregister { id }.to_bytes(), &mut []));
        }
        if kept.entries.is_empty() {
            self.set_connection(None);
        }
    }

    /// Waits for nobody.
    pub(super) fn is_registered(&self, entry: &Entry) -> bool {
        let connection = self.connection();
        connection.is_some_and(|connection| connection.is_alive()) && entry.id().is_some()
    }

    /// Makes sure of a living connection, and that all entries are registered over it.
    fn reconnect(&'static self, kept: &Kept) -> Result<Arc<Connection>> {
        if let Some(connection) = self.connection().filter(|current| current.is_alive()) {
            return Ok(connection);
        }
        let connection = Connection::attach(Nd::LOCAL, Pid::PROCMGR, Chid::PROCMGR)?;
        for entry in &kept.entries {
            match send_register(&connection, &entry.message) {
                Ok(id) => entry.set_id(Some(id)),
                Err(errno @ (Errno::ESRCH | Errno::EBADF)) => return Err(errno),
                // Refused: another has the name now. The registration says so when it is asked.
                Err(_) => entry.set_id(None),
            }
        }
        connection.on_end(Box::new(|| self.wake()));
        let connection = Arc::new(connection);
        self.set_connection(Some(Arc::clone(&connection)));
        Ok(connection)
    }

    fn connection(&self) -> Option<Arc<Connection>> {
        lock(&self.connection).clone()
    }

    fn set_connection(&self, new: Option<Arc<Connection>>) {
        let mut current = lock(&self.connection);
        let old = std::mem::replace(&mut *current, new);
        // It is detached without the lock.
        drop(current);
        drop(old);
    }

    fn wake(&self) {
        *lock(&self.is_lost) = true;
        self.lost.notify_one();
    }

    fn start_thread(&'static self, kept: &mut Kept) -> Result<()> {
        if !kept.has_thread {
            let builder = thread::Builder::new().name("qnet-register".to_owned());
            own_thread::start(builder, || self.run())?;
            kept.has_thread = true;
        }
        Ok(())
    }

    fn run(&'static self) {
        loop {
            let mut is_lost = lock(&self.is_lost);
            while !*is_lost {
                is_lost = self
                    .lost
                    .wait(is_lost)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            *is_lost = false;
            drop(is_lost);
            // Without a directory to watch nobody can come back in it.
            let _ = self.restore(&runtime_dir());
        }
    }

    /// Blocks until the process manager is back and has everything again.
    fn restore(&'static self, dir: &Path) -> Result<()> {
        if self.lock().entries.is_empty() {
            return Ok(());
        }
        // Watching comes before looking: who comes in between is seen twice rather than not at all.
        let mut watch = Watch::new(dir)?;
        loop {
            let kept = self.lock();
            if kept.entries.is_empty() || self.reconnect(&kept).is_ok() {
                return Ok(());
            }
            drop(kept);
            match watch.wait_for_procmgr() {
                Err(Errno::EBADF) => watch = Watch::new(dir)?,
                waited => waited?,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

fn send_register(connection: &Connection, message: &[u8]) -> Result<RegistrationId> {
    let mut reply = [0; RegistrationId::REPLY_LEN];
    let answer = send_until_done(|| connection.send(message, &mut reply))?;
    RegistrationId::parse_reply(&reply[..answer.len])
}
