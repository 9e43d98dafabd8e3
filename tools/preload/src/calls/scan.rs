//! All entries of a directory at once. The C library's function asks the system by itself.

use std::ffi::{c_char, c_int, c_void};
use std::mem;

use ipc_core::abi::{Errno, Result};
use libc::dirent;

use super::directories::{closedir, opendir, readdir};
use crate::shield::{self, errno, set_errno, to_c};
use crate::{real, route};

/// Whether the program wants an entry.
// SAFETY: it is called with an entry that lives through the call.
type Choose = unsafe extern "C" fn(*const dirent) -> c_int;

/// How two entries are ordered, as `qsort` asks.
// SAFETY: it is called with pointers to pointers to entries.
type Order = unsafe extern "C" fn(*const c_void, *const c_void) -> c_int;

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn scandir(
    path: *const c_char,
    into: *mut c_void,
    choose: *mut c_void,
    order: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let is_ours = shield::within(|| route::ours(unsafe { route::absolute(path) }).map(|_| Ok(())));
    if is_ours.is_none() {
        // SAFETY: the caller's promise is the callee's.
        return unsafe { real::scandir(path, into, choose, order) };
    }
    // The program's functions are called from here on, which may do anything: outside.
    let before = errno();
    // SAFETY: the caller's promise: null, or a function of this type.
    let choose = unsafe { mem::transmute::<*mut c_void, Option<Choose>>(choose) };
    // SAFETY: as above; `int (*)(const struct dirent **, const struct dirent **)` is called as `qsort` calls.
    let order = unsafe { mem::transmute::<*mut c_void, Option<Order>>(order) };
    // SAFETY: the caller's promise.
    let count = unsafe { scan(path, into.cast(), choose, order) };
    if count.is_ok() {
        set_errno(before);
    }
    to_c(count)
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn scandir64(
    path: *const c_char,
    into: *mut c_void,
    choose: *mut c_void,
    order: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    unsafe { scandir(path, into, choose, order) }
}

/// Leaves in `into` a list that the program frees, as each of its entries; answers how many these are.
///
/// # Safety
/// `path` is a C string, `into` may be written, and the functions keep to their types.
unsafe fn scan(
    path: *const c_char,
    into: *mut *mut *mut dirent,
    choose: Option<Choose>,
    order: Option<Order>,
) -> Result<c_int> {
    let mut found = Entries(Vec::new());
    // SAFETY: the caller's promise.
    let dir = unsafe { opendir(path) };
    if dir.is_null() {
        return Err(Errno::last());
    }
    let read = loop {
        set_errno(0);
        // SAFETY: it is open, and this call's own.
        let entry = unsafe { readdir(dir) };
        if entry.is_null() {
            break match errno() {
                0 => Ok(()),
                failed => Err(Errno(failed)),
            };
        }
        // SAFETY: the entry lives until the next is read; the rest is the caller's promise.
        if choose.is_none_or(|choose| unsafe { choose(entry) } != 0)
            // SAFETY: as above.
            && let Err(errno) = unsafe { found.add(entry) }
        {
            break Err(errno);
        }
    };
    // SAFETY: as above, and nothing after it.
    unsafe { closedir(dir) };
    read?;
    // SAFETY: the caller's promise.
    let (list, count) = unsafe { found.into_list(order) }?;
    // SAFETY: as above.
    unsafe { into.write(list) };
    Ok(count)
}

/// Copies of entries, which are the C library's memory.
struct Entries(Vec<*mut dirent>);

impl Entries {
    /// Copies an entry; one of the system's is as long as it says, and shorter than its type.
    ///
    /// # Safety
    /// `entry` is what `readdir` gave, and no other was read since.
    unsafe fn add(&mut self, entry: *const dirent) -> Result<()> {
        // SAFETY: the caller's promise; no reference is made to more than is there.
        let len = usize::from(unsafe { (*entry).d_reclen });
        // SAFETY: asks for memory.
        let copy = unsafe { libc::malloc(len) }.cast::<dirent>();
        if copy.is_null() {
            return Err(Errno::ENOMEM);
        }
        // SAFETY: the entry has as many bytes, and so has what was just made for them.
        unsafe {
            copy.cast::<u8>()
                .copy_from_nonoverlapping(entry.cast(), len)
        };
        self.0.push(copy);
        Ok(())
    }

    /// The list that a program gets, in its order.
    ///
    /// # Safety
    /// `order` keeps to its type.
    unsafe fn into_list(mut self, order: Option<Order>) -> Result<(*mut *mut dirent, c_int)> {
        let count = self.0.len();
        let answer = c_int::try_from(count).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: asks for memory; a list without entries is to be freed, too.
        let list = unsafe { libc::calloc(count.max(1), size_of::<*mut dirent>()) };
        let list = list.cast::<*mut dirent>();
        if list.is_null() {
            return Err(Errno::ENOMEM);
        }
        // SAFETY: the list has as many places, just made.
        unsafe { list.copy_from_nonoverlapping(self.0.as_ptr(), count) };
        // They are the list's from here on.
        self.0.clear();
        if order.is_some() {
            // SAFETY: as many pointers to entries as it says; the function is the caller's promise.
            unsafe { libc::qsort(list.cast(), count, size_of::<*mut dirent>(), order) };
        }
        Ok((list, answer))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        for entry in &self.0 {
            // SAFETY: of `add`, and nobody else has it.
            unsafe { libc::free(entry.cast()) };
        }
    }
}
