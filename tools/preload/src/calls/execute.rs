//! Programs that this machine does not have, and a server of the pathname space has.
//!
//! The system executes what is its own, as ever: only where it has nothing by that path, ours is looked for. A binary is
//! copied into a memory file, which is executed; for a script its interpreter is, which opens the script as any file.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{fs, ptr};

use ipc_core::abi::io::Access;
use ipc_core::abi::{Errno, Result};
use ipc_core::file::{self, File};

use crate::shield::{self, errno, to_c};
use crate::{real, route, sealed, table};

/// Bytes of a program at most: what is copied takes as much memory.
const PROGRAM_LEN_MAX: u64 = 1 << 30;

/// Bytes that one message fetches.
const PIECE_LEN: usize = 1 << 20;

/// Bytes of a script's first line that count, as the system has it.
const LINE_LEN_MAX: usize = 256;

/// `ENOEXEC`: shells read such a file themselves, and whoever executes as they do has it read by one.
const NO_PROGRAM: Errno = Errno(libc::ENOEXEC);

/// What is executed in the place of a path of ours.
#[derive(Debug)]
enum Program {
    /// Memory that holds it, closed at exec.
    Binary(OwnedFd),
    /// An interpreter, and what stands before the program's own arguments: its name, and the script.
    Script(Vec<CString>),
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn execve(
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    let failed = unsafe { real::execve(path, argv, envp) };
    // SAFETY: the caller's promise.
    match unsafe { look_for(path, errno()) } {
        None => failed,
        Some(Err(errno)) => to_c(Err(errno)),
        // SAFETY: as above.
        Some(Ok(program)) => unsafe {
            program.run(argv, |path, argv| real::execve(path, argv, envp))
        },
    }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn execv(path: *const c_char, argv: *const *const c_char) -> c_int {
    // SAFETY: the caller's promise is the callee's; the environment is the C library's.
    unsafe { execve(path, argv, environ) }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn execvpe(
    file: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    let failed = unsafe { real::execvpe(file, argv, envp) };
    // SAFETY: the caller's promise.
    if !is_missing(errno()) || !unsafe { is_path(file) } {
        return failed;
    }
    // SAFETY: as above.
    let failed = unsafe { execve(file, argv, envp) };
    if errno() != NO_PROGRAM.0 {
        return failed;
    }
    // SAFETY: a path is a C string.
    let shell = Program::Script(vec![
        c"/bin/sh".into(),
        unsafe { CStr::from_ptr(file) }.into(),
    ]);
    // SAFETY: as above.
    unsafe { shell.run(argv, |path, argv| real::execve(path, argv, envp)) }
}

/// In the place of the C library's function of this name.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn execvp(file: *const c_char, argv: *const *const c_char) -> c_int {
    // SAFETY: the caller's promise is the callee's; the environment is the C library's.
    unsafe { execvpe(file, argv, environ) }
}

/// In the place of the C library's function of this name. It answers an error number.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn posix_spawn(
    pid: *mut libc::pid_t,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    let spawn =
        |path, argv| unsafe { real::posix_spawn(pid, path, actions, attributes, argv, envp) };
    let failed = spawn(path, argv);
    // SAFETY: the caller's promise.
    match unsafe { look_for(path, failed) } {
        None => failed,
        Some(Err(errno)) => errno.0,
        // SAFETY: as above.
        Some(Ok(program)) => unsafe { program.run(argv, spawn) },
    }
}

/// In the place of the C library's function of this name. It answers an error number.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn posix_spawnp(
    pid: *mut libc::pid_t,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's promise is the callee's.
    let failed = unsafe { real::posix_spawnp(pid, file, actions, attributes, argv, envp) };
    // SAFETY: the caller's promise.
    match unsafe { is_path(file) } {
        // SAFETY: as above.
        true if is_missing(failed) => unsafe {
            posix_spawn(pid, file, actions, attributes, argv, envp)
        },
        _ => failed,
    }
}

/// In the place of the C library's function of this name: a child with memory of its own can look for its program. A
/// program that keeps to what POSIX says of `vfork` cannot tell.
///
/// # Safety
/// As the C library's `fork`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn vfork() -> libc::pid_t {
    // SAFETY: the caller's promise is the callee's.
    unsafe { libc::fork() }
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// Whether the system has nothing by a path that it was to execute.
fn is_missing(failed: c_int) -> bool {
    failed == libc::ENOENT || failed == libc::ENOTDIR
}

/// Whether a name is a path, for which no folder of PATH counts.
///
/// # Safety
/// `file` is null or a C string.
unsafe fn is_path(file: *const c_char) -> bool {
    // SAFETY: the caller's promise.
    unsafe { route::text(file) }.is_some_and(|file| file.as_os_str().as_bytes().contains(&b'/'))
}

/// The program behind a path that the system has failed to execute; `None` if that stays the answer.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn look_for(path: *const c_char, failed: c_int) -> Option<Result<Program>> {
    if !is_missing(failed) || table::is_borrowed() {
        return None;
    }
    shield::within(|| {
        // SAFETY: the caller's promise; a path that is ours is not null.
        let (ours, given) = unsafe { (route::ours(route::absolute(path))?, CStr::from_ptr(path)) };
        Some(Program::fetch(&ours, given))
    })
}

impl Program {
    /// A script's interpreter is given the path as the program gave it.
    fn fetch(path: &Path, given: &CStr) -> Result<Program> {
        let found = file::stat(path)?;
        if found.file_type() != ipc_core::abi::io::FileType::Regular {
            return Err(Errno::EACCES);
        }
        file::access(path, Access::EXECUTE)?;
        let mut source = File::open(path)?;
        let mut piece = vec![0; PIECE_LEN];
        let mut len = read(&mut source, &mut piece)?;
        if let Some(line) = piece[..len.min(LINE_LEN_MAX)].strip_prefix(b"#!") {
            return script(line, given).map(Program::Script);
        }
        let mut memory = fs::File::from(sealed::sealable(c"qnet-program")?);
        let mut done = 0;
        while len > 0 {
            done += len as u64;
            if done > PROGRAM_LEN_MAX {
                return Err(Errno::EFBIG);
            }
            memory
                .write_all(&piece[..len])
                .map_err(|error| Errno::of(&error))?;
            len = read(&mut source, &mut piece)?;
        }
        Ok(Program::Binary(memory.into()))
    }

    /// Executes it by the function given, whose answer is that of the call.
    ///
    /// # Safety
    /// `argv` is a list of C strings that ends with null.
    unsafe fn run(
        self,
        argv: *const *const c_char,
        execute: impl Fn(*const c_char, *const *const c_char) -> c_int,
    ) -> c_int {
        match self {
            Program::Binary(memory) => {
                let path = CString::new(sealed::path_of(memory.as_raw_fd())).unwrap_or_default();
                execute(path.as_ptr(), argv)
            }
            Program::Script(before) => {
                let mut all: Vec<_> = before.iter().map(|text| text.as_ptr()).collect();
                // SAFETY: the caller's promise: none is read behind the null.
                unsafe { append_arguments(argv, &mut all) };
                execute(all[0], all.as_ptr())
            }
        }
    }
}

/// Appends all but a program's name, and the null at the end.
///
/// # Safety
/// `argv` is null or a list that ends with null.
unsafe fn append_arguments(argv: *const *const c_char, all: &mut Vec<*const c_char>) {
    // SAFETY: the caller's promise.
    let has_name = !argv.is_null() && !unsafe { *argv }.is_null();
    let rest = (1..).take_while(|_| has_name);
    // SAFETY: as above; the name is no null.
    let rest = rest.map(|at| unsafe { *argv.add(at) });
    all.extend(rest.take_while(|argument| !argument.is_null()));
    all.push(ptr::null());
}

fn read(source: &mut File, into: &mut [u8]) -> Result<usize> {
    Read::read(source, into).map_err(|error| Errno::of(&error))
}

/// The interpreter that a script's first line names, one argument for it if the line has any, and the script.
fn script(line: &[u8], path: &CStr) -> Result<Vec<CString>> {
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = trim(line);
    let (interpreter, argument) = match line.iter().position(is_blank) {
        Some(at) => (&line[..at], trim(&line[at..])),
        None => (line, &b""[..]),
    };
    if interpreter.is_empty() {
        return Err(NO_PROGRAM);
    }
    [interpreter, argument, path.to_bytes()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| CString::new(text).map_err(|_| NO_PROGRAM))
        .collect()
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(text: &[u8]) -> &[u8] {
    let is_shown = |byte: &u8| !is_blank(byte);
    let start = text.iter().position(is_shown).unwrap_or(text.len());
    let end = text.iter().rposition(is_shown).map_or(start, |at| at + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripts_first_line_names_its_interpreter() {
        let words = |line: &str| {
            let words = script(line.as_bytes(), c"./x")?;
            let words = words.into_iter().map(|word| word.into_string().unwrap());
            Ok(words.collect::<Vec<_>>().join("|"))
        };
        assert_eq!(words("/bin/sh\necho"), Ok("/bin/sh|./x".to_owned()));
        assert_eq!(
            words(" /usr/bin/env  python3 -u \n"),
            Ok("/usr/bin/env|python3 -u|./x".to_owned())
        );
        assert_eq!(words("\n/bin/sh"), Err(NO_PROGRAM));
        assert_eq!(words("  "), Err(NO_PROGRAM));
    }

    #[test]
    fn arguments_follow_without_the_name() {
        let argv = [c"x".as_ptr(), c"a".as_ptr(), c"b".as_ptr(), ptr::null()];
        let mut all = vec![c"sh".as_ptr()];
        // SAFETY: a list that ends with null.
        unsafe { append_arguments(argv.as_ptr(), &mut all) };
        // SAFETY: C strings, but for the null at the end.
        let words = all[..3].iter().map(|word| unsafe { CStr::from_ptr(*word) });
        assert_eq!(words.collect::<Vec<_>>(), [c"sh", c"a", c"b"]);
        assert!(all[3].is_null() && all.len() == 4);
    }
}
