//! `qn rm`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use ipc_core::{
    abi::{
        Errno,
        io::{FileType, Stat},
    },
    file,
};

use super::{
    files::{finish, is_dir},
    output::{Fault, Output},
};

/// What of a directory is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Directories {
    /// None is.
    Kept,
    /// Empty ones are.
    Empty,
    /// Each with all below it that is on its device.
    Whole,
}

pub(super) fn rm(
    output: &Output,
    directories: Directories,
    paths: &[PathBuf],
) -> Result<ExitCode, Fault> {
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let mut failed = |fault: Fault| {
            output.fault(&fault);
            code = ExitCode::FAILURE;
        };
        match directories {
            Directories::Whole => remove_all(path, &mut failed),
            Directories::Empty | Directories::Kept => {
                if let Err(errno) = remove(path, directories == Directories::Empty) {
                    failed(fault_of(errno, path));
                }
            }
        }
    }
    finish(output, code, "rm", paths)
}

fn remove(path: &Path, empty_directories: bool) -> Result<(), Errno> {
    match file::unlink(path) {
        Err(Errno::EISDIR | Errno::EPERM) if empty_directories && is_dir(path) => file::rmdir(path),
        removed => removed,
    }
}

fn fault_of(errno: Errno, path: &Path) -> Fault {
    let shown = path.display();
    match errno {
        Errno::EISDIR => Fault::with_errno(
            format!(
                "{shown}: {errno}; remove an empty one with: qn rm -d {shown}; with all that is in it: qn rm -r {shown}"
            ),
            errno,
        ),
        errno => Fault::on_path(errno, path),
    }
}

fn remove_all(path: &Path, failed: &mut impl FnMut(Fault)) {
    let done = match file::lstat(path) {
        Ok(stat) if stat.is_dir() => {
            remove_tree(path, &stat, failed);
            return;
        }
        Ok(_) => file::unlink(path),
        Err(errno) => Err(errno),
    };
    if let Err(errno) = done {
        failed(Fault::on_path(errno, path));
    }
}

/// Removes what is in a directory, then the directory; answers whether it is gone. Symbolic links are removed, not
/// followed; where another server's files or another file system begin, it stops: `qn rm -r /net/wintermute` does not
/// empty every disk of that node. A depth is bounded by the length of a path.
fn remove_tree(directory: &Path, stat: &Stat, failed: &mut impl FnMut(Fault)) -> bool {
    let names = file::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = match names {
        Ok(entries) => entries,
        Err(errno) => {
            failed(Fault::on_path(errno, directory));
            return false;
        }
    };
    let mut is_empty = true;
    for entry in entries {
        let path = directory.join(&entry.name);
        is_empty &= match entry.file_type {
            FileType::Directory | FileType::Unknown => remove_below(&path, stat, failed),
            _ => removed(file::unlink(&path), &path, failed),
        };
    }
    is_empty && removed(file::rmdir(directory), directory, failed)
}

fn remove_below(path: &Path, above: &Stat, failed: &mut impl FnMut(Fault)) -> bool {
    let stat = match file::lstat(path) {
        Ok(stat) => stat,
        Err(errno) => return removed(Err(errno), path, failed),
    };
    if !stat.is_dir() {
        return removed(file::unlink(path), path, failed);
    }
    if stat.dev != above.dev {
        let text = format!(
            "{}: another server or file system begins here, which stays; if that shall go, too: qn rm -r {0}",
            path.display()
        );
        failed(Fault::with_errno(text, Errno::EXDEV));
        return false;
    }
    remove_tree(path, &stat, failed)
}

/// One that somebody else has removed meanwhile is removed.
fn removed(done: Result<(), Errno>, path: &Path, failed: &mut impl FnMut(Fault)) -> bool {
    match done {
        Ok(()) | Err(Errno::ENOENT) => true,
        Err(errno) => {
            failed(Fault::on_path(errno, path));
            false
        }
    }
}
