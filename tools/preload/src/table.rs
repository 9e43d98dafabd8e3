//! Which descriptors are ours, and what is behind them.

use std::collections::HashMap;
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ipc_core::abi::io::{OpenFlags, Stat};
use ipc_core::abi::{Errno, Pid, Result};
use ipc_core::file::File;

use crate::real;

/// An open file of the pathname space. Descriptors that were duplicated from one another share it.
pub(crate) struct OpenFile {
    /// The connection that is the file.
    pub(crate) file: File,
    /// The path it was opened by, for calls relative to a directory.
    pub(crate) path: PathBuf,
    /// The flags it was opened with, and what `F_SETFL` made of them.
    pub(crate) flags: AtomicU32,
    /// Whether it is a directory, once that was asked.
    is_dir: OnceLock<bool>,
}

impl OpenFile {
    pub(crate) fn new(file: File, path: PathBuf, flags: OpenFlags) -> OpenFile {
        OpenFile {
            file,
            path,
            flags: AtomicU32::new(flags.0),
            is_dir: OnceLock::new(),
        }
    }

    /// What is known of the file.
    pub(crate) fn stat(&self) -> Result<Stat> {
        let found = self.file.stat()?;
        // It never changes: who comes second says the same.
        self.is_dir.set(found.is_dir()).ok();
        Ok(found)
    }

    /// Whether it is a directory; asks the server once, if nothing has before. One that does not say has none.
    pub(crate) fn is_dir(&self) -> bool {
        if self.open_flags().contains(OpenFlags::DIRECTORY) {
            return true;
        }
        // Directories are opened for reading alone.
        if self.open_flags().writes() {
            return false;
        }
        match self.is_dir.get() {
            Some(is_dir) => *is_dir,
            None => self.stat().is_ok_and(|found| found.is_dir()),
        }
    }

    /// The flags as they are now.
    pub(crate) fn open_flags(&self) -> OpenFlags {
        OpenFlags(self.flags.load(Ordering::Relaxed))
    }
}

/// Descriptors are looked up below this number; the system's limit is rarely higher.
const FDS: usize = 65_536;

/// One bit per descriptor.
type Bits = [AtomicU64; FDS / 64];

/// Descriptors that are ours or the parent's: calls on all others, which are most, take no lock.
static MARKED: Bits = [const { AtomicU64::new(0) }; FDS / 64];

/// Descriptors that were the parent's when this process was forked, and are still open.
static INHERITED: Bits = [const { AtomicU64::new(0) }; FDS / 64];

/// The table of this process; null until it opens something. A forked child makes its own: the parent's copy
/// may have been locked at the moment of the fork, and its connections are not the child's.
static TABLE: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());

/// The table of the process that this one was forked from; null where there is none.
static PARENT: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());

struct Table {
    /// A child of `vfork` shares this memory and is another process: it must change nothing here.
    owner: c_int,
    /// The table that was `PARENT` when this one was made.
    parent: Option<&'static Table>,
    files: Mutex<HashMap<c_int, Arc<OpenFile>>>,
}

/// What a descriptor is.
pub(crate) enum Found {
    /// The system's.
    Not,
    /// Ours.
    Ours(Arc<OpenFile>),
    /// The parent's: this process was forked from the one that opened it, and that one has closed it since.
    Inherited,
}

/// What a descriptor is; cheap for the system's.
pub(crate) fn find(fd: c_int) -> Found {
    if !is_set(&MARKED, fd) {
        return Found::Not;
    }
    if is_set(&INHERITED, fd) {
        return adopt(fd).map_or(Found::Inherited, Found::Ours);
    }
    let Some(table) = own_table() else {
        return Found::Inherited;
    };
    match table.lock().get(&fd) {
        Some(file) => Found::Ours(Arc::clone(file)),
        None => Found::Not,
    }
}

/// Gives an open file its first descriptor.
pub(crate) fn open(file: OpenFile) -> Result<c_int> {
    let fd = placeholder(file.open_flags().contains(OpenFlags::CLOEXEC))?;
    put(fd, Arc::new(file));
    Ok(fd)
}

/// Makes a descriptor ours. What it was before, if anything, has been closed by the system.
pub(crate) fn put(fd: c_int, file: Arc<OpenFile>) {
    let Some(table) = own_table_or_new() else {
        return;
    };
    let former = table.lock().insert(fd, file);
    set(&INHERITED, fd, false);
    set(&MARKED, fd, true);
    // Its close sends a message: not with the lock held.
    drop(former);
}

/// Makes a descriptor that was the parent's at the fork this process's own: it shares the parent's offset.
fn adopt(fd: c_int) -> Option<Arc<OpenFile>> {
    // SAFETY: it is null or was leaked by `own_table_or_new`, for the life of the process.
    let mut ancestor = unsafe { PARENT.load(Ordering::Acquire).as_ref() };
    while let Some(table) = ancestor {
        // A thread that has not come along into this process may have had the lock: then there is no telling.
        let found = table.files.try_lock().ok()?.get(&fd).cloned();
        if let Some(open) = found {
            let file = open.file.try_clone_of_parent(Pid(table.owner)).ok()?;
            let adopted = OpenFile::new(file, open.path.clone(), open.open_flags());
            let adopted = Arc::new(adopted);
            // The table has the other reference, and is never dropped: nor is the parent's file.
            put(fd, Arc::clone(&adopted));
            return Some(adopted);
        }
        ancestor = table.parent;
    }
    None
}

/// Marks a descriptor as a duplicate of one of the parent's.
pub(crate) fn put_inherited(fd: c_int) {
    set(&INHERITED, fd, true);
    set(&MARKED, fd, true);
}

/// Makes a descriptor the system's again; answers what it was.
pub(crate) fn take(fd: c_int) -> Option<Arc<OpenFile>> {
    if !is_set(&MARKED, fd) {
        return None;
    }
    let owns = TABLE.load(Ordering::Acquire).is_null() || own_table().is_some();
    if !owns {
        // A child of vfork: what it closes stays open in the parent.
        return None;
    }
    set(&MARKED, fd, false);
    set(&INHERITED, fd, false);
    own_table().and_then(|table| table.lock().remove(&fd))
}

/// The descriptors from `first` to `last` that are ours or the parent's.
pub(crate) fn marked(first: c_int, last: c_int) -> Vec<c_int> {
    let last = last.min(FDS as c_int - 1);
    (first.max(0)..=last)
        .filter(|fd| is_set(&MARKED, *fd))
        .collect()
}

/// Closes an open file if this was its last descriptor, and says what came of it.
pub(crate) fn release(file: Arc<OpenFile>) -> Result<()> {
    match Arc::into_inner(file) {
        Some(last) => last.file.close(),
        None => Ok(()),
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<c_int, Arc<OpenFile>>> {
        // Nothing panics with the lock held but an allocation that fails, which ends the process.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A descriptor that has a number and nothing else.
fn placeholder(cloexec: bool) -> Result<c_int> {
    let cloexec = if cloexec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: the path ends in a zero.
    let fd = unsafe { real::open(c"/dev/null".as_ptr(), libc::O_PATH | cloexec, 0) };
    if fd < 0 {
        return Err(Errno::last());
    }
    if place(fd).is_none() {
        // SAFETY: the descriptor is this function's own.
        unsafe { real::close(fd) };
        return Err(Errno::EMFILE);
    }
    Ok(fd)
}

fn own_table() -> Option<&'static Table> {
    let table = TABLE.load(Ordering::Acquire);
    // SAFETY: it is null or was leaked by `own_table_or_new`, for the life of the process.
    let table = unsafe { table.as_ref() }?;
    (table.owner == current_pid()).then_some(table)
}

/// As `own_table`, and makes it if there is none; `None` in a child of `vfork`.
fn own_table_or_new() -> Option<&'static Table> {
    if TABLE.load(Ordering::Acquire).is_null() {
        // SAFETY: as in `adopt`.
        let parent = unsafe { PARENT.load(Ordering::Acquire).as_ref() };
        let table = Table {
            owner: current_pid(),
            parent,
            files: Mutex::default(),
        };
        let fresh = Box::into_raw(Box::new(table));
        let null = std::ptr::null_mut();
        if TABLE
            .compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            register_fork_handler();
        } else {
            // SAFETY: another thread was faster: this one's table was never shown to anybody.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
    own_table()
}

fn register_fork_handler() {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    // The handlers of a parent are a child's too.
    if !REGISTERED.swap(true, Ordering::AcqRel) {
        // SAFETY: the handler lives as long as the process and touches atomics alone.
        unsafe { pthread_atfork(None, None, Some(forget_in_child)) };
    }
}

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

/// In a child, right after the fork: what is marked is the parent's. Its table is kept and never dropped:
/// closing its files would close the parent's.
extern "C" fn forget_in_child() {
    let table = TABLE.swap(std::ptr::null_mut(), Ordering::AcqRel);
    if !table.is_null() {
        PARENT.store(table, Ordering::Release);
    }
    for (inherited, marked) in INHERITED.iter().zip(&MARKED) {
        inherited.store(marked.load(Ordering::Acquire), Ordering::Release);
    }
}

fn current_pid() -> c_int {
    // SAFETY: getpid has no preconditions.
    unsafe { libc::getpid() }
}

fn place(fd: c_int) -> Option<(usize, u64)> {
    let index = usize::try_from(fd).ok().filter(|index| *index < FDS)?;
    Some((index / 64, 1 << (index % 64)))
}

fn is_set(bits: &Bits, fd: c_int) -> bool {
    place(fd).is_some_and(|(word, bit)| bits[word].load(Ordering::Acquire) & bit != 0)
}

fn set(bits: &Bits, fd: c_int, on: bool) {
    if let Some((word, bit)) = place(fd) {
        match on {
            true => bits[word].fetch_or(bit, Ordering::AcqRel),
            false => bits[word].fetch_and(!bit, Ordering::AcqRel),
        };
    }
}
