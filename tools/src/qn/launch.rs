//! `qn run`: a program whose file functions know the pathname space.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use ipc_core::{abi::Errno, file::describe_missing_procmgr, runtime_dir};

use super::output::{Fault, Output};

const LIBRARY: &str = "libqnet_preload.so";
/// The program is there and cannot be executed, as shells say it.
const NOT_EXECUTABLE: u8 = 126;
/// There is no such program, as shells say it.
const NOT_FOUND: u8 = 127;

/// Becomes the program; returns only if that fails.
pub(super) fn run(output: &Output, command: &[OsString]) -> Result<ExitCode, Fault> {
    let (program, arguments) = command
        .split_first()
        .expect("the command line has a program");
    let library = find_library()?;
    if let Some(cause) = describe_missing_procmgr() {
        return Err(Fault::new(cause));
    }
    let error = Command::new(program)
        .args(arguments)
        .env("LD_PRELOAD", preload_list(&library))
        .env("QNET_RUNTIME_DIR", runtime_dir())
        .exec();
    let (code, fault) = refused(program, &error);
    output.fault(&fault);
    Ok(ExitCode::from(code))
}

/// Why the program cannot be started, and the exit code that says so.
fn refused(program: &OsStr, error: &io::Error) -> (u8, Fault) {
    let path = Path::new(program);
    let is_path = program.as_encoded_bytes().contains(&b'/');
    let shown = path.display();
    let (code, cause) = match error.kind() {
        io::ErrorKind::NotFound if !is_path => (
            NOT_FOUND,
            "no folder of PATH has such a program; name it with its path, as in ./program"
                .to_owned(),
        ),
        io::ErrorKind::NotFound if path.exists() => (
            NOT_EXECUTABLE,
            format!("the interpreter that it asks for is not there; see: head -n 1 {shown}"),
        ),
        io::ErrorKind::NotFound => (
            NOT_FOUND,
            format!("there is no such file on this machine; see: ls -l {shown}"),
        ),
        _ if path.is_dir() => (NOT_EXECUTABLE, "it is a directory".to_owned()),
        io::ErrorKind::PermissionDenied => (
            NOT_EXECUTABLE,
            format!("it may not be executed; see: ls -l {shown}; mend it with: chmod +x {shown}"),
        ),
        _ => (
            NOT_EXECUTABLE,
            format!("it cannot be executed; see: file {shown}"),
        ),
    };
    let text = format!("{shown}: {error}: {cause}");
    (code, Fault::with_errno(text, Errno::of(error)))
}

/// The library beside this program, or one folder up or down, where a build puts it.
fn find_library() -> Result<PathBuf, Fault> {
    if let Some(path) = env::var_os("QNET_PRELOAD") {
        return Ok(PathBuf::from(path));
    }
    let own = env::current_exe().map_err(|error| Fault::on_host(&error, "qn"))?;
    let beside = own.parent().unwrap_or(Path::new("/"));
    let places = [
        beside.to_owned(),
        beside.join("deps"),
        beside.join("../lib"),
        beside.join(".."),
    ];
    places.into_iter().map(|dir| dir.join(LIBRARY)).find(|path| path.is_file()).ok_or_else(|| {
        Fault::new(format!(
            "{LIBRARY} is not beside {}; build it with: cargo build -p qnet-preload; or name it: QNET_PRELOAD=PATH",
            own.display()
        ))
    })
}

/// The library in front of what the caller preloads already.
fn preload_list(library: &Path) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(OsStr::new(":"));
        list.push(others);
    }
    list
}
