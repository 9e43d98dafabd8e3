//! `qn run`: a program whose file functions know the pathname space.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use ipc_core::{file::describe_missing_procmgr, runtime_dir};

use super::output::Fault;

const LIBRARY: &str = "libqnet_preload.so";

/// Becomes the program; returns only if that fails.
pub(super) fn run(command: &[OsString]) -> Result<ExitCode, Fault> {
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
    Err(Fault::on_host(&error, Path::new(program).display()))
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
