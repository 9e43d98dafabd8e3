//! The C library's own functions: those that the dynamic linker finds behind ours.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{
    DIR, FILE, mode_t, off_t, size_t, ssize_t, stat as HostStat, statx as HostStatx, timespec,
    wchar_t,
};

use crate::argument::{Argument, Paths};
use crate::working;

/// The next function of a name, looked for at its first use.
struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Next {
        Next {
            name,
            found: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    fn address(&self) -> *mut c_void {
        let known = self.found.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name ends in a zero; RTLD_NEXT asks for no handle.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        // Every thread finds the same address: a lost race stores it twice.
        self.found.store(found, Ordering::Relaxed);
        found
    }
}

/// Declares functions of the C library. One that it lacks fails with ENOSYS and the value given.
macro_rules! next {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty = $missing:expr;)*) => {$(
        #[doc = concat!("The C library's `", stringify!($name), "`.")]
        ///
        /// # Safety
        /// As the C library's.
        #[allow(clippy::unused_unit, reason = "functions with and without a result are written alike")]
        pub(crate) unsafe fn $name($($arg: $type),*) -> $result {
            static NEXT: Next = Next::new(
                // The name of a function holds no zero byte before the one appended here.
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => c"",
                },
            );
            let address = NEXT.address();
            if address.is_null() {
                crate::shield::set_errno(libc::ENOSYS);
                return $missing;
            }
            // In a working directory of ours, a relative path that is none of ours is not relative to the system's.
            #[allow(unused_mut, unused_variables, reason = "some functions have no argument")]
            let mut paths = working::current().map(Paths::new);
            $(let $arg = match &mut paths {
                // SAFETY: the caller's promise.
                Some(paths) => unsafe { $arg.or_absolute(stringify!($arg), paths) },
                None => $arg,
            };)*
            // SAFETY: the C library's function of this name has this signature (its header says so); a
            // variadic one takes its third argument where a fixed one does, on every Linux ABI we run on.
            let function: unsafe extern "C" fn($($type),*) -> $result = unsafe { std::mem::transmute(address) };
            // SAFETY: the caller's promise is the callee's.
            unsafe { function($($arg),*) }
        }
    )*};
}

next! {
    open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int = -1;
    openat(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int = -1;
    read(fd: c_int, into: *mut c_void, len: size_t) -> ssize_t = -1;
    __read_chk(fd: c_int, into: *mut c_void, len: size_t, room: size_t) -> ssize_t = -1;
    write(fd: c_int, from: *const c_void, len: size_t) -> ssize_t = -1;
    pread(fd: c_int, into: *mut c_void, len: size_t, offset: off_t) -> ssize_t = -1;
    pwrite(fd: c_int, from: *const c_void, len: size_t, offset: off_t) -> ssize_t = -1;
    readv(fd: c_int, parts: *const libc::iovec, count: c_int) -> ssize_t = -1;
    writev(fd: c_int, parts: *const libc::iovec, count: c_int) -> ssize_t = -1;
    lseek(fd: c_int, offset: off_t, whence: c_int) -> off_t = -1;
    close(fd: c_int) -> c_int = -1;
    close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int = -1;
    closefrom(first: c_int) -> () = ();
    dup(fd: c_int) -> c_int = -1;
    dup2(fd: c_int, to: c_int) -> c_int = -1;
    dup3(fd: c_int, to: c_int, flags: c_int) -> c_int = -1;
    fcntl(fd: c_int, command: c_int, argument: usize) -> c_int = -1;
    ioctl(fd: c_int, command: libc::c_ulong, argument: usize) -> c_int = -1;
    flock(fd: c_int, operation: c_int) -> c_int = -1;
    lockf(fd: c_int, operation: c_int, len: off_t) -> c_int = -1;
    fstat(fd: c_int, into: *mut HostStat) -> c_int = -1;
    stat(path: *const c_char, into: *mut HostStat) -> c_int = -1;
    lstat(path: *const c_char, into: *mut HostStat) -> c_int = -1;
    fstatat(dir: c_int, path: *const c_char, into: *mut HostStat, flags: c_int) -> c_int = -1;
    statx(dir: c_int, path: *const c_char, flags: c_int, mask: c_uint, into: *mut HostStatx) -> c_int = -1;
    access(path: *const c_char, rights: c_int) -> c_int = -1;
    faccessat(dir: c_int, path: *const c_char, rights: c_int, flags: c_int) -> c_int = -1;
    unlink(path: *const c_char) -> c_int = -1;
    unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int = -1;
    remove(path: *const c_char) -> c_int = -1;
    mkdir(path: *const c_char, mode: mode_t) -> c_int = -1;
    mkdirat(dir: c_int, path: *const c_char, mode: mode_t) -> c_int = -1;
    rmdir(path: *const c_char) -> c_int = -1;
    rename(from: *const c_char, to: *const c_char) -> c_int = -1;
    renameat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char) -> c_int = -1;
    renameat2(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_uint) -> c_int = -1;
    link(existing: *const c_char, new: *const c_char) -> c_int = -1;
    symlink(text: *const c_char, path: *const c_char) -> c_int = -1;
    readlink(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t = -1;
    readlinkat(dir: c_int, path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t = -1;
    chmod(path: *const c_char, mode: mode_t) -> c_int = -1;
    lchmod(path: *const c_char, mode: mode_t) -> c_int = -1;
    fchmodat(dir: c_int, path: *const c_char, mode: mode_t, flags: c_int) -> c_int = -1;
    chown(path: *const c_char, uid: libc::uid_t, gid: libc::gid_t) -> c_int = -1;
    fchown(fd: c_int, uid: libc::uid_t, gid: libc::gid_t) -> c_int = -1;
    fchmod(fd: c_int, mode: mode_t) -> c_int = -1;
    truncate(path: *const c_char, len: off_t) -> c_int = -1;
    ftruncate(fd: c_int, len: off_t) -> c_int = -1;
    fsync(fd: c_int) -> c_int = -1;
    fdatasync(fd: c_int) -> c_int = -1;
    futimens(fd: c_int, times: *const timespec) -> c_int = -1;
    utimensat(dir: c_int, path: *const c_char, times: *const timespec, flags: c_int) -> c_int = -1;
    mmap(
        address: *mut c_void, len: size_t, protection: c_int, flags: c_int, fd: c_int, offset: off_t
    ) -> *mut c_void = libc::MAP_FAILED;
    posix_fadvise(fd: c_int, offset: off_t, len: off_t, advice: c_int) -> c_int = libc::ENOSYS;
    fallocate(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int = -1;
    sendfile(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t = -1;
    copy_file_range(
        from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, len: size_t, flags: c_uint
    ) -> ssize_t = -1;
    splice(
        from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, len: size_t, flags: c_uint
    ) -> ssize_t = -1;
    poll(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int) -> c_int = -1;
    ppoll(
        fds: *mut libc::pollfd, count: libc::nfds_t, timeout: *const timespec, mask: *const libc::sigset_t
    ) -> c_int = -1;
    __poll_chk(fds: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int, room: size_t) -> c_int = -1;
    __ppoll_chk(
        fds: *mut libc::pollfd, count: libc::nfds_t, timeout: *const timespec, mask: *const libc::sigset_t,
        room: size_t
    ) -> c_int = -1;
    select(
        count: c_int, read: *mut libc::fd_set, write: *mut libc::fd_set, except: *mut libc::fd_set,
        timeout: *mut libc::timeval
    ) -> c_int = -1;
    pselect(
        count: c_int, read: *mut libc::fd_set, write: *mut libc::fd_set, except: *mut libc::fd_set,
        timeout: *const timespec, mask: *const libc::sigset_t
    ) -> c_int = -1;
    epoll_ctl(poll: c_int, operation: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int = -1;
    syncfs(fd: c_int) -> c_int = -1;
    sync_file_range(fd: c_int, offset: off_t, len: off_t, flags: c_uint) -> c_int = -1;
    getxattr(path: *const c_char, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t = -1;
    lgetxattr(path: *const c_char, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t = -1;
    listxattr(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t = -1;
    llistxattr(path: *const c_char, into: *mut c_char, len: size_t) -> ssize_t = -1;
    fgetxattr(fd: c_int, name: *const c_char, into: *mut c_void, len: size_t) -> ssize_t = -1;
    flistxattr(fd: c_int, into: *mut c_char, len: size_t) -> ssize_t = -1;
    setxattr(path: *const c_char, name: *const c_char, from: *const c_void, len: size_t, flags: c_int) -> c_int = -1;
    lsetxattr(path: *const c_char, name: *const c_char, from: *const c_void, len: size_t, flags: c_int) -> c_int = -1;
    fsetxattr(fd: c_int, name: *const c_char, from: *const c_void, len: size_t, flags: c_int) -> c_int = -1;
    removexattr(path: *const c_char, name: *const c_char) -> c_int = -1;
    lremovexattr(path: *const c_char, name: *const c_char) -> c_int = -1;
    fremovexattr(fd: c_int, name: *const c_char) -> c_int = -1;
    __pread_chk(fd: c_int, into: *mut c_void, len: size_t, offset: off_t, room: size_t) -> ssize_t = -1;
    preadv(fd: c_int, parts: *const libc::iovec, count: c_int, offset: off_t) -> ssize_t = -1;
    preadv2(fd: c_int, parts: *const libc::iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t = -1;
    pwritev(fd: c_int, parts: *const libc::iovec, count: c_int, offset: off_t) -> ssize_t = -1;
    pwritev2(fd: c_int, parts: *const libc::iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t = -1;
    euidaccess(path: *const c_char, rights: c_int) -> c_int = -1;
    linkat(
        existing_dir: c_int, existing: *const c_char, new_dir: c_int, new: *const c_char, flags: c_int
    ) -> c_int = -1;
    symlinkat(text: *const c_char, dir: c_int, path: *const c_char) -> c_int = -1;
    __readlink_chk(path: *const c_char, into: *mut c_char, len: size_t, room: size_t) -> ssize_t = -1;
    __readlinkat_chk(
        dir: c_int, path: *const c_char, into: *mut c_char, len: size_t, room: size_t
    ) -> ssize_t = -1;
    lchown(path: *const c_char, uid: libc::uid_t, gid: libc::gid_t) -> c_int = -1;
    fchownat(dir: c_int, path: *const c_char, uid: libc::uid_t, gid: libc::gid_t, flags: c_int) -> c_int = -1;
    utime(path: *const c_char, times: *const libc::utimbuf) -> c_int = -1;
    utimes(path: *const c_char, times: *const libc::timeval) -> c_int = -1;
    lutimes(path: *const c_char, times: *const libc::timeval) -> c_int = -1;
    futimesat(dir: c_int, path: *const c_char, times: *const libc::timeval) -> c_int = -1;
    futimes(fd: c_int, times: *const libc::timeval) -> c_int = -1;
    mkstemp(template: *mut c_char) -> c_int = -1;
    mkostemp(template: *mut c_char, flags: c_int) -> c_int = -1;
    mkstemps(template: *mut c_char, suffix_len: c_int) -> c_int = -1;
    mkostemps(template: *mut c_char, suffix_len: c_int, flags: c_int) -> c_int = -1;
    mkdtemp(template: *mut c_char) -> *mut c_char = std::ptr::null_mut();
    mkfifo(path: *const c_char, mode: mode_t) -> c_int = -1;
    mkfifoat(dir: c_int, path: *const c_char, mode: mode_t) -> c_int = -1;
    mknod(path: *const c_char, mode: mode_t, device: libc::dev_t) -> c_int = -1;
    mknodat(dir: c_int, path: *const c_char, mode: mode_t, device: libc::dev_t) -> c_int = -1;
    realpath(path: *const c_char, into: *mut c_char) -> *mut c_char = std::ptr::null_mut();
    __realpath_chk(path: *const c_char, into: *mut c_char, room: size_t) -> *mut c_char = std::ptr::null_mut();
    statfs(path: *const c_char, into: *mut libc::statfs) -> c_int = -1;
    fstatfs(fd: c_int, into: *mut libc::statfs) -> c_int = -1;
    statvfs(path: *const c_char, into: *mut libc::statvfs) -> c_int = -1;
    fstatvfs(fd: c_int, into: *mut libc::statvfs) -> c_int = -1;
    chdir(path: *const c_char) -> c_int = -1;
    fchdir(fd: c_int) -> c_int = -1;
    getcwd(into: *mut c_char, len: size_t) -> *mut c_char = std::ptr::null_mut();
    getwd(into: *mut c_char) -> *mut c_char = std::ptr::null_mut();
    get_current_dir_name() -> *mut c_char = std::ptr::null_mut();
    nftw(path: *const c_char, visit: *mut c_void, fds: c_int, flags: c_int) -> c_int = -1;
    ftw(path: *const c_char, visit: *mut c_void, fds: c_int) -> c_int = -1;
    scandir(path: *const c_char, into: *mut c_void, choose: *mut c_void, order: *mut c_void) -> c_int = -1;
    glob(
        pattern: *const c_char, flags: c_int, failed: *mut c_void, into: *mut crate::calls::glob::Names
    ) -> c_int = libc::GLOB_ABORTED;
    inotify_add_watch(fd: c_int, path: *const c_char, events: u32) -> c_int = -1;
    freopen(path: *const c_char, mode: *const c_char, stream: *mut FILE) -> *mut FILE = std::ptr::null_mut();
    posix_fallocate(fd: c_int, offset: off_t, len: off_t) -> c_int = libc::ENOSYS;
    opendir(path: *const c_char) -> *mut DIR = std::ptr::null_mut();
    fdopendir(fd: c_int) -> *mut DIR = std::ptr::null_mut();
    readdir(dir: *mut DIR) -> *mut libc::dirent = std::ptr::null_mut();
    readdir_r(dir: *mut DIR, into: *mut libc::dirent, given: *mut *mut libc::dirent) -> c_int = libc::ENOSYS;
    closedir(dir: *mut DIR) -> c_int = -1;
    rewinddir(dir: *mut DIR) -> () = ();
    telldir(dir: *mut DIR) -> c_long = -1;
    seekdir(dir: *mut DIR, at: c_long) -> () = ();
    dirfd(dir: *mut DIR) -> c_int = -1;
    fopen(path: *const c_char, mode: *const c_char) -> *mut FILE = std::ptr::null_mut();
    fdopen(fd: c_int, mode: *const c_char) -> *mut FILE = std::ptr::null_mut();
    pthread_create(
        thread: *mut libc::pthread_t, attributes: *const libc::pthread_attr_t,
        start: extern "C" fn(*mut c_void) -> *mut c_void, argument: *mut c_void
    ) -> c_int = libc::ENOSYS;
    fileno(stream: *mut FILE) -> c_int = -1;
    execve(path: *const c_char, argv: *const *const c_char, envp: *const *const c_char) -> c_int = -1;
    execvpe(file: *const c_char, argv: *const *const c_char, envp: *const *const c_char) -> c_int = -1;
    posix_spawn(
        pid: *mut libc::pid_t, path: *const c_char, actions: *const c_void, attributes: *const c_void,
        argv: *const *const c_char, envp: *const *const c_char
    ) -> c_int = libc::ENOSYS;
    posix_spawnp(
        pid: *mut libc::pid_t, file: *const c_char, actions: *const c_void, attributes: *const c_void,
        argv: *const *const c_char, envp: *const *const c_char
    ) -> c_int = libc::ENOSYS;
    syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long = -1;
    fgetwc(stream: *mut FILE) -> u32 = u32::MAX;
    getwchar() -> u32 = u32::MAX;
    fgetws(into: *mut wchar_t, count: c_int, stream: *mut FILE) -> *mut wchar_t = std::ptr::null_mut();
    __fgetws_chk(into: *mut wchar_t, room: size_t, count: c_int, stream: *mut FILE) -> *mut wchar_t =
        std::ptr::null_mut();
    fputwc(wide: wchar_t, stream: *mut FILE) -> u32 = u32::MAX;
    putwchar(wide: wchar_t) -> u32 = u32::MAX;
    fputws(text: *const wchar_t, stream: *mut FILE) -> c_int = -1;
    ungetwc(wide: u32, stream: *mut FILE) -> u32 = u32::MAX;
}
