//! Sides that live in another program: how it is loaded, and how it finds what the bench shares with it.
//!
//! A forked child keeps its control socket and the file of its stopwatch open across `execv` and names both
//! on the command line, after the version of this arrangement: a program built before it changed says so
//! instead of writing figures where none are read.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::method::side::{self, Notice, Side, Stage};
use crate::method::stopwatch::Stopwatch;
use crate::sys::clock::Clock;
use crate::sys::fork;

/// Changes with everything that bench and guest must agree on.
const VERSION: &str = "guest-1";

/// A program with a side in it.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// What it is told: which side it is to be.
    pub arguments: Vec<String>,
}

/// Becomes `program`; comes back only with an error.
pub(super) fn load(
    program: &Program,
    control: &UnixStream,
    watch: &Stopwatch,
    heard: &[Notice],
) -> crate::Result<Infallible> {
    let heard: Vec<String> = heard
        .iter()
        .map(|notice| notice.map(|word| word.to_string()).join("."))
        .collect();
    let shared = [
        VERSION.to_owned(),
        keep_open(control.as_fd())?,
        keep_open(watch.file())?,
        heard.join(","),
    ];
    let path = CString::new(program.path.as_os_str().as_bytes())?;
    let mut arguments = vec![path.clone()];
    for argument in shared.iter().chain(&program.arguments) {
        arguments.push(CString::new(argument.as_bytes())?);
    }
    nix::unistd::execv(&path, &arguments)
        .map_err(|fault| format!("cannot run {}: {fault}", program.path.display()).into())
}

/// The whole life of a side in a program of its own: `build` is given the program's own arguments.
///
/// # Errors
/// A program that was not started by the bench, or by one of another version.
pub fn live(
    build: impl FnOnce(&mut Stage, &[String]) -> crate::Result<Box<dyn Side>>,
) -> crate::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [version, control, watch, heard, own @ ..] = &arguments[..] else {
        return Err("this program is run by the bench, not by hand: see benches/README.md".into());
    };
    if version != VERSION {
        return Err(
            format!("the bench speaks {version}, this program {VERSION}: build it anew").into(),
        );
    }
    let control = UnixStream::from(take(control)?);
    let watch = Stopwatch::adopt(take(watch)?, Clock::calibrate())?;
    let heard = heard.split(',').filter(|one| !one.is_empty()).map(notice);
    let heard = heard.collect::<crate::Result<_>>()?;
    side::live(control, watch, heard, |stage| build(stage, own))
}

/// Lets a descriptor survive `execv`, and says its number.
fn keep_open(fd: BorrowedFd<'_>) -> crate::Result<String> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(fd.as_raw_fd().to_string())
}

fn take(number: &str) -> crate::Result<OwnedFd> {
    Ok(fork::inherited(number.parse()?)?)
}

fn notice(text: &str) -> crate::Result<Notice> {
    let words = text.split('.').map(str::parse);
    let words: Vec<u64> = words.collect::<Result<_, _>>()?;
    Notice::try_from(words).map_err(|_| format!("{text} is no notice of four words").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_survives_the_command_line() {
        let words: Notice = [1, u64::MAX, 0, 7];
        let text = words.map(|word| word.to_string()).join(".");
        assert_eq!(notice(&text).ok(), Some(words));
    }

    #[test]
    fn a_notice_of_three_words_is_refused() {
        assert!(notice("1.2.3").is_err() && notice("").is_err());
    }
}
