//! `qn ls`.

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
use serde_json::{Value, json};

use super::output::{Fault, Output, columns};

/// A name and what is known of it.
struct Line {
    name: String,
    path: PathBuf,
    file_type: FileType,
    /// With `-l`; none where the stat failed.
    stat: Option<Stat>,
    /// With `-l`, of a symbolic link.
    target: Option<PathBuf>,
}

pub(super) fn ls(output: &Output, long: bool, paths: &[PathBuf]) -> Result<ExitCode, Fault> {
    let mut code = ExitCode::SUCCESS;
    let mut values = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let lines = match lines_of(path, long) {
            Ok(lines) => lines,
            Err(errno) => {
                output.fault(&Fault::on_path(errno, path));
                code = ExitCode::FAILURE;
                continue;
            }
        };
        if output.is_json() {
            values.push(
                json!({ "path": path, "entries": lines.iter().map(value).collect::<Vec<_>>() }),
            );
            continue;
        }
        if paths.len() > 1 {
            let gap = if index > 0 { "\n" } else { "" };
            output.print(&format!("{gap}{}:\n", path.display()))?;
        }
        output.print(&text(&lines, long))?;
    }
    if output.is_json() {
        output.result(&json!(values), String::new)?;
    }
    Ok(code)
}

/// The names in a directory, or the one name of anything else.
fn lines_of(path: &Path, long: bool) -> Result<Vec<Line>, Errno> {
    let dir = match file::read_dir(path) {
        Err(Errno::ENOTDIR) => {
            let file_type = file::lstat(path)?.file_type();
            let line = line(path.display().to_string(), path.to_owned(), file_type, long);
            return Ok(vec![line]);
        }
        dir => dir?,
    };
    let mut lines = Vec::new();
    for entry in dir {
        let entry = entry?;
        let name = entry.name.to_string_lossy().into_owned();
        lines.push(line(name, path.join(&entry.name), entry.file_type, long));
    }
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(lines)
}

fn line(name: String, path: PathBuf, file_type: FileType, long: bool) -> Line {
    let stat = if long { file::lstat(&path).ok() } else { None };
    let is_link = stat.is_some_and(|stat| stat.file_type() == FileType::Symlink);
    let target = if is_link {
        file::readlink(&path).ok()
    } else {
        None
    };
    Line {
        name,
        path,
        file_type: stat.map_or(file_type, |stat| stat.file_type()),
        stat,
        target,
    }
}

fn value(line: &Line) -> Value {
    let mut value =
        json!({ "name": line.name, "path": line.path, "type": type_name(line.file_type) });
    if let Some(stat) = &line.stat {
        value["stat"] = stat_value(stat);
    }
    if let Some(target) = &line.target {
        value["target"] = json!(target);
    }
    value
}

fn text(lines: &[Line], long: bool) -> String {
    if !long {
        return lines
            .iter()
            .map(|line| format!("{}{}\n", line.name, mark(line.file_type)))
            .collect();
    }
    let rows: Vec<_> = lines.iter().map(row).collect();
    columns(
        &[
            "MODE",
            "LINKS",
            "UID",
            "GID",
            "SIZE",
            "MODIFIED (UTC)",
            "NAME",
        ],
        &rows,
    )
}

fn row(line: &Line) -> Vec<String> {
    let target = line
        .target
        .as_ref()
        .map(|target| format!(" -> {}", target.display()));
    let name = format!(
        "{}{}",
        line.name,
        target.unwrap_or_else(|| mark(line.file_type).to_owned())
    );
    let Some(stat) = &line.stat else {
        let unknown = ["?", "?", "?", "?", "?", "?"].map(str::to_owned);
        return [unknown.to_vec(), vec![name]].concat();
    };
    vec![
        mode_text(stat),
        stat.nlink.to_string(),
        stat.uid.to_string(),
        stat.gid.to_string(),
        stat.size.to_string(),
        time_text(stat.mtime.seconds),
        name,
    ]
}

/// What `stat` and `ls -l` show of attributes in JSON.
pub(super) fn stat_value(stat: &Stat) -> Value {
    let time = |time: ipc_core::abi::io::TimeSpec| json!({ "seconds": time.seconds, "nanoseconds": time.nanoseconds });
    json!({
        "type": type_name(stat.file_type()),
        "mode": format!("{:04o}", stat.mode & 0o7777),
        "ino": stat.ino,
        "dev": stat.dev,
        "nlink": stat.nlink,
        "uid": stat.uid,
        "gid": stat.gid,
        "size": stat.size,
        "blocks": stat.blocks,
        "blksize": stat.blksize,
        "atime": time(stat.atime),
        "mtime": time(stat.mtime),
        "ctime": time(stat.ctime),
    })
}

pub(super) fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Unknown => "unknown",
        FileType::Fifo => "fifo",
        FileType::Character => "character device",
        FileType::Directory => "directory",
        FileType::Block => "block device",
        FileType::Regular => "file",
        FileType::Symlink => "symbolic link",
        FileType::Socket => "socket",
    }
}

fn mark(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Directory => "/",
        FileType::Symlink => "@",
        FileType::Fifo => "|",
        FileType::Socket => "=",
        _ => "",
    }
}

/// `drwxr-xr-x`, as `ls` shows it.
pub(super) fn mode_text(stat: &Stat) -> String {
    let kind = match stat.file_type() {
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Character => 'c',
        FileType::Block => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::Regular => '-',
        FileType::Unknown => '?',
    };
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    let mut text = String::from(kind);
    for (group, (bit, with, without)) in special.into_iter().enumerate() {
        let bits = stat.mode >> (6 - 3 * group as u32) & 7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (stat.mode & bit != 0, bits & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// `2026-11-22 07:15`, in UTC: the nodes may be in several time zones.
pub(super) fn time_text(seconds: i64) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        of_day / 3600,
        of_day / 60 % 60
    )
}

/// The Gregorian date of a day counted from 1970-01-01 (Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(time_text(0), "1970-01-01 00:00");
        assert_eq!(time_text(-1), "1969-12-31 23:59");
        assert_eq!(time_text(951_782_400), "2000-02-29 00:00");
        assert_eq!(time_text(1_795_331_715), "2026-11-22 07:15");
    }

    #[test]
    fn modes_are_shown_as_ls_does() {
        let text = |mode| {
            mode_text(&Stat {
                mode,
                ..Stat::default()
            })
        };
        assert_eq!(text(0o040_755), "drwxr-xr-x");
        assert_eq!(text(0o100_640), "-rw-r-----");
        assert_eq!(text(0o041_777), "drwxrwxrwt");
        assert_eq!(text(0o104_644), "-rwSr--r--");
    }
}
