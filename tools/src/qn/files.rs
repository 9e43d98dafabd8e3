//! `qn stat`, `mkdir`, `mv`.

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
use serde_json::json;

use super::{
    list::{mode_text, stat_value, time_text, type_name},
    output::{Fault, Output},
    place::Place,
};

pub(super) fn stat(output: &Output, no_follow: bool, paths: &[PathBuf]) -> Result<ExitCode, Fault> {
    let mut found = Vec::new();
    let code = each(output, paths, |path| {
        let stat = if no_follow {
            file::lstat(path)
        } else {
            file::stat(path)
        }?;
        found.push((path.to_owned(), stat));
        Ok(())
    });
    let values: Vec<_> = found
        .iter()
        .map(|(path, stat)| {
            let mut value = stat_value(stat);
            value["path"] = json!(path);
            value
        })
        .collect();
    let text = || {
        found
            .iter()
            .map(|(path, stat)| stat_text(path, stat))
            .collect()
    };
    output.result(&json!(values), text)?;
    Ok(code)
}

fn stat_text(path: &Path, stat: &Stat) -> String {
    let time = |time: ipc_core::abi::io::TimeSpec| time_text(time.seconds);
    format!(
        "{}\n  type      {}\n  mode      {:04o} {}\n  owner     uid {} gid {}\n  size      {} bytes, {} blocks\n  \
         inode     {} on device {}, {} links\n  accessed  {}\n  modified  {}\n  changed   {}\n",
        path.display(),
        type_name(stat.file_type()),
        stat.mode & 0o7777,
        mode_text(stat),
        stat.uid,
        stat.gid,
        stat.size,
        stat.blocks,
        stat.ino,
        stat.dev,
        stat.nlink,
        time(stat.atime),
        time(stat.mtime),
        time(stat.ctime),
    )
}

pub(super) fn mkdir(output: &Output, parents: bool, paths: &[PathBuf]) -> Result<ExitCode, Fault> {
    let code = each(output, paths, |path| {
        if parents {
            make_all(path)
        } else {
            file::mkdir(path, 0o777)
        }
    });
    finish(output, code, "mkdir", paths)
}

/// Makes the directory, and first those above that are missing.
fn make_all(path: &Path) -> Result<(), Errno> {
    match file::mkdir(path, 0o777) {
        Err(Errno::EEXIST) if is_dir(path) => Ok(()),
        Err(Errno::ENOENT) => {
            let above = path
                .parent()
                .filter(|above| above.parent().is_some())
                .ok_or(Errno::ENOENT)?;
            make_all(above)?;
            file::mkdir(path, 0o777)
        }
        made => made,
    }
}

pub(super) fn mv(output: &Output, from: &Place, to: &Place) -> Result<ExitCode, Fault> {
    let (Place::Qnet(path), Place::Qnet(new)) = (from, to) else {
        return Err(not_on_one_server(from, to));
    };
    let target = match path.file_name() {
        Some(name) if is_dir(new) => new.join(name),
        _ => new.to_owned(),
    };
    file::rename(path, &target).map_err(|errno| match errno {
        Errno::EXDEV => not_on_one_server(from, to),
        Errno::EINVAL if Place::Qnet(target.clone()).is_below(from) => {
            let text = format!("{from}: cannot be moved into itself, {}", target.display());
            Fault::with_errno(text, errno)
        }
        _ => Fault::on_path(errno, path),
    })?;
    finish(output, ExitCode::SUCCESS, "mv", &[path.to_owned(), target])
}

/// Why nobody can rename this, and what to do instead.
fn not_on_one_server(from: &Place, to: &Place) -> Fault {
    let errno = Errno::EXDEV;
    let is_dir = matches!(from.kind(), Ok(Some(kind)) if kind.is_dir);
    let all = if is_dir { " -r" } else { "" };
    let (why, remove) = match (from, to) {
        (Place::Pipe, _) | (_, Place::Pipe) => {
            let text = format!("- has no name to change; copy instead: qn cp {from} {to}");
            return Fault::with_errno(text, errno);
        }
        (Place::Host(path), Place::Host(new)) => {
            let (path, new) = (path.display(), new.display());
            let text = format!("{from} and {to} are both of this machine: mv {path} {new}");
            return Fault::with_errno(text, errno);
        }
        (Place::Qnet(_), Place::Qnet(_)) => {
            ("are on different servers", format!("qn rm{all} {from}"))
        }
        (Place::Qnet(_), Place::Host(_)) => (
            "are of a server and of this machine",
            format!("qn rm{all} {from}"),
        ),
        (Place::Host(path), Place::Qnet(_)) => (
            "are of this machine and of a server",
            format!("rm{all} {}", path.display()),
        ),
    };
    let text = format!(
        "{from} and {to} {why} ({errno}); copy and remove instead: qn cp{all} {from} {to} && {remove}"
    );
    Fault::with_errno(text, errno)
}

pub(super) fn is_dir(path: &Path) -> bool {
    file::stat(path).is_ok_and(|stat| stat.file_type() == FileType::Directory)
}

/// Does it for each path; one that fails does not keep the others.
fn each(
    output: &Output,
    paths: &[PathBuf],
    mut act: impl FnMut(&Path) -> Result<(), Errno>,
) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        if let Err(errno) = act(path) {
            output.fault(&Fault::on_path(errno, path));
            code = ExitCode::FAILURE;
        }
    }
    code
}

pub(super) fn finish(
    output: &Output,
    code: ExitCode,
    what: &str,
    paths: &[PathBuf],
) -> Result<ExitCode, Fault> {
    if code == ExitCode::SUCCESS {
        let shown: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        output.done(what, &shown)?;
    }
    Ok(code)
}
