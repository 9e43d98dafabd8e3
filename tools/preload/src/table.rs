//! Which descriptors are ours, and what is behind them.

use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ipc_core::abi::io::{FileType, OpenFlags, Stat};
use ipc_core::abi::{Errno, Result};
use ipc_core::file::File;

use crate::{inherit, placeholder, real};

/// An open file of the pathname space. Descriptors that were duplicated from one another share it.
pub(crate) struct OpenFile {
    /// The connection that is the file.
    pub(crate) file: File,
    /// The path it was opened by, for calls relative to a directory.
    pub(crate) path: PathBuf,
    /// The flags it was opened with, and what `F_SETFL` made of them.
    pub(crate) flags: AtomicU32,
    /// What kind of file it is, once that was asked.
    kind: OnceLock<FileType>,
    /// Its descriptors in the table that stay open through an exec. Changed with the table locked.
    survivors: AtomicUsize,
}

impl OpenFile {
    pub(crate) fn new(file: File, path: PathBuf, flags: OpenFlags) -> OpenFile {
        OpenFile {
            file,
            path,
            flags: AtomicU32::new(flags.0),
            kind: OnceLock::new(),
            survivors: AtomicUsize::new(0),
        }
    }

    /// What is known of the file.
    pub(crate) fn stat(&self) -> Result<Stat> {
        let found = self.file.stat()?;
        // It never changes: who comes second says the same.
        self.kind.set(found.file_type()).ok();
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
        self.kind() == Some(FileType::Directory)
    }

    /// What kind of file it is; asks the server once, if nothing has before.
    pub(crate) fn kind(&self) -> Option<FileType> {
        let known = self.kind.get().copied();
        known.or_else(|| self.stat().ok().map(|found| found.file_type()))
    }

    /// Whether reads and writes may wait for somebody else than the disk, so that signals end them; as far as that is
    /// known without asking.
    pub(crate) fn is_device(&self) -> bool {
        let devices = [FileType::Character, FileType::Fifo, FileType::Socket];
        self.kind.get().is_some_and(|kind| devices.contains(kind))
    }

    /// A descriptor more, or one fewer, stays open through an exec: a file with any stays open at its server, and one
    /// without does not. What the next image does not know of, it could not close.
    fn count_survivor(&self, more: bool) {
        let step = if more { 1 } else { usize::MAX };
        let before = self.survivors.fetch_add(step, Ordering::Relaxed);
        let has_any = before.wrapping_add(step) > 0;
        if has_any != (before > 0) {
            // Without its connection the next image cannot use the file; this one notices at its next call.
            self.file.survive_exec(has_any).ok();
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

/// Descriptors that were the parent's when this process was forked, and that it has not used yet.
static INHERITED: Bits = [const { AtomicU64::new(0) }; FDS / 64];

/// What is behind a descriptor.
struct Entry {
    open: Arc<OpenFile>,
    /// Whether it stays open through an exec.
    survives: bool,
}

type Entries = HashMap<c_int, Entry>;

type Table = Mutex<Entries>;

/// The table of this process; null until it opens something. A forked child makes its own: the parent's copy
/// may have been locked at the moment of the fork, and its connections are not the child's.
static TABLE: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());

/// The process whose memory this is. A child by `clone` with its parent's memory, as `posix_spawn`
/// makes one, shares it and is another process: it must change nothing here.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// What a descriptor is.
pub(crate) enum Found {
    /// The system's.
    Not,
    /// Ours.
    Ours(Arc<OpenFile>),
    /// The parent's, and not to be had: it has closed it since, or this process borrows its memory.
    Inherited,
}

/// What a descriptor is; cheap for the system's.
pub(crate) fn find(fd: c_int) -> Found {
    if !is_set(&MARKED, fd) {
        return Found::Not;
    }
    if is_borrowed() {
        return Found::Inherited;
    }
    if is_set(&INHERITED, fd) {
        return adopt(fd).map_or(Found::Inherited, Found::Ours);
    }
    let open = |table| Some(Arc::clone(&lock(table).get(&fd)?.open));
    match own_table().and_then(open) {
        Some(file) => Found::Ours(file),
        None => Found::Not,
    }
}

/// Whether a descriptor may be ours; allocates nothing and takes no lock.
pub(crate) fn is_marked(fd: c_int) -> bool {
    is_set(&MARKED, fd)
}

/// What is ours behind a descriptor.
pub(crate) fn open_at(fd: c_int) -> Option<Arc<OpenFile>> {
    match find(fd) {
        Found::Ours(open) => Some(open),
        Found::Not | Found::Inherited => None,
    }
}

/// The path by which that was opened.
pub(crate) fn path_of(fd: c_int) -> Option<PathBuf> {
    open_at(fd).map(|open| open.path.clone())
}

/// Gives an open file its first descriptor.
pub(crate) fn open(file: OpenFile) -> Result<c_int> {
    let fd = placeholder::make(&file)?;
    if place(fd.as_raw_fd()).is_none() {
        return Err(Errno::EMFILE);
    }
    let fd = fd.into_raw_fd();
    put(fd, Arc::new(file));
    Ok(fd)
}

/// Makes a descriptor ours. What it was before, if anything, has been closed by the system.
pub(crate) fn put(fd: c_int, file: Arc<OpenFile>) {
    let Some(table) = own_table_or_new() else {
        return;
    };
    let survives = survives_exec(fd);
    let mut entries = lock(table);
    if survives {
        file.count_survivor(true);
    }
    let open = file;
    let former = entries.insert(fd, Entry { open, survives });
    let former = former.map(Entry::leave);
    drop(entries);
    set(&INHERITED, fd, false);
    set(&MARKED, fd, true);
    // Its close sends a message: not with the lock held.
    drop(former);
}

/// The program has changed whether a descriptor stays open through an exec.
pub(crate) fn settle_survival(fd: c_int) {
    let Some(table) = own_table() else {
        return;
    };
    let mut entries = lock(table);
    let survives = survives_exec(fd);
    if let Some(entry) = entries.get_mut(&fd)
        && entry.survives != survives
    {
        entry.survives = survives;
        entry.open.count_survivor(survives);
    }
}

impl Entry {
    /// What is left of one that goes, while the table is locked.
    fn leave(self) -> Arc<OpenFile> {
        // Where it was the last descriptor the file is closed anyway.
        if self.survives && Arc::strong_count(&self.open) > 1 {
            self.open.count_survivor(false);
        }
        self.open
    }
}

fn survives_exec(fd: c_int) -> bool {
    // SAFETY: takes numbers only.
    let flags = unsafe { real::fcntl(fd, libc::F_GETFD, 0) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// Before an exec in a child that borrows this memory: the copy of a descriptor that it made is kept, and so is the
/// connection, in the child's own table of descriptors.
pub(crate) fn lend(fd: c_int) {
    if is_set(&MARKED, fd)
        && let Some(inscription) = placeholder::read(fd)
    {
        inscription.handover.keep_inherited();
    }
}

/// Makes a descriptor that was the parent's at the fork this process's own: it shares the parent's offset.
fn adopt(fd: c_int) -> Option<Arc<OpenFile>> {
    let adopted = Arc::new(inherit::adopt(placeholder::read(fd)?).ok()?);
    placeholder::replace(fd, &adopted).ok()?;
    put(fd, Arc::clone(&adopted));
    Some(adopted)
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
    if is_borrowed() {
        // What a borrower of memory closes stays open in the parent.
        return None;
    }
    set(&MARKED, fd, false);
    set(&INHERITED, fd, false);
    let mut entries = lock(own_table()?);
    entries.remove(&fd).map(Entry::leave)
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

fn lock(table: &Table) -> MutexGuard<'_, Entries> {
    // Nothing panics with the lock held but an allocation that fails, which ends the process.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own_table() -> Option<&'static Table> {
    if is_borrowed() {
        return None;
    }
    // SAFETY: it is null or was leaked by `own_table_or_new`, for the life of the process.
    unsafe { TABLE.load(Ordering::Acquire).as_ref() }
}

/// As `own_table`, and makes it if there is none; `None` in a child that borrows its parent's memory.
fn own_table_or_new() -> Option<&'static Table> {
    if TABLE.load(Ordering::Acquire).is_null() && !is_borrowed() {
        begin();
        let fresh = Box::into_raw(Box::new(Table::default()));
        let null = std::ptr::null_mut();
        let swapped = TABLE.compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_err() {
            // SAFETY: another thread was faster: this one's table was never shown to anybody.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
    own_table()
}

/// Notes whose memory this is, and sees to it that forked children are told from their parents.
pub(crate) fn begin() {
    let noted = OWNER.compare_exchange(0, current_pid(), Ordering::AcqRel, Ordering::Acquire);
    // The handler of a parent is a child's too.
    if noted.is_ok() {
        // SAFETY: the handler lives as long as the process, and changes atomics of this library only.
        unsafe { pthread_atfork(None, None, Some(forget_in_child)) };
    }
}

/// Whether this process is a child that borrows its parent's memory.
pub(crate) fn is_borrowed() -> bool {
    let owner = OWNER.load(Ordering::Acquire);
    owner != 0 && owner != current_pid()
}

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

/// In a child, right after the fork: what is marked is the parent's. Its table is leaked: closing its files would
/// close the parent's.
extern "C" fn forget_in_child() {
    OWNER.store(current_pid(), Ordering::Release);
    TABLE.store(std::ptr::null_mut(), Ordering::Release);
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
