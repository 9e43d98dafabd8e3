//! Where a file is: in the pathname space, on this machine, or on the other end of a pipe.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use ipc_core::{
    abi::Errno,
    file::{self, File, OpenOptions},
    proc::Pathname,
};

use super::output::Fault;

/// A file as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Of the pathname space: what has no mark.
    Qnet(PathBuf),
    /// Of this machine's file system: `host:PATH`.
    Host(PathBuf),
    /// Standard input or output: `-`.
    Pipe,
}

/// What a copy needs to know of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) is_dir: bool,
    /// Bytes, as far as they are known.
    pub(super) len: u64,
    pub(super) mode: u32,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        match text.strip_prefix("host:") {
            _ if text == "-" => Ok(Place::Pipe),
            Some("") => Err("host: needs a path of this machine, as in host:report.txt".to_owned()),
            Some(path) => Ok(Place::Host(PathBuf::from(path))),
            None if text.starts_with('/') => Ok(Place::Qnet(PathBuf::from(text))),
            None => Err(format!(
                "a path of the pathname space starts with /; for a file of this machine write host:{text}"
            )),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Qnet(path) => path.display().fmt(f),
            Place::Host(path) => write!(f, "host:{}", path.display()),
            Place::Pipe => f.write_str("-"),
        }
    }
}

impl Place {
    /// The last component; `None` for a pipe, the root and what ends in `..`.
    pub(super) fn file_name(&self) -> Option<&Path> {
        match self {
            Place::Qnet(path) | Place::Host(path) => path.file_name().map(Path::new),
            Place::Pipe => None,
        }
    }

    /// A name in this directory.
    pub(super) fn join(&self, name: impl AsRef<Path>) -> Place {
        match self {
            Place::Qnet(path) => Place::Qnet(path.join(name)),
            Place::Host(path) => Place::Host(path.join(name)),
            Place::Pipe => Place::Pipe,
        }
    }

    /// What is there; `None` if nothing is.
    pub(super) fn kind(&self) -> Result<Option<Kind>, Fault> {
        let found = match self {
            Place::Pipe => {
                return Ok(Some(Kind {
                    is_dir: false,
                    len: 0,
                    mode: 0o666,
                }));
            }
            Place::Qnet(path) => file::stat(path).map(|stat| Kind {
                is_dir: stat.is_dir(),
                len: stat.size,
                mode: stat.mode & 0o777,
            }),
            Place::Host(path) => fs::metadata(path).map_err(Errno::from).map(|found| Kind {
                is_dir: found.is_dir(),
                len: found.len(),
                mode: found.mode() & 0o777,
            }),
        };
        match found {
            Ok(kind) => Ok(Some(kind)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.fault(errno)),
        }
    }

    /// Opens it for reading.
    pub(super) fn open(&self) -> Result<Source, Fault> {
        Ok(match self {
            Place::Qnet(path) => Source::Qnet(File::open(path).map_err(|errno| self.fault(errno))?),
            Place::Host(path) => {
                Source::Host(fs::File::open(path).map_err(|error| self.fault(error))?)
            }
            Place::Pipe => Source::Pipe(io::stdin()),
        })
    }

    /// Opens what is no directory for reading: what one is read as is nothing for people.
    pub(super) fn open_file(&self) -> Result<Source, Fault> {
        let source = self.open()?;
        if let (Place::Qnet(path), Source::Qnet(file)) = (self, &source)
            && file.stat().is_ok_and(|found| found.is_dir())
        {
            let shown = path.display();
            let errno = Errno::EISDIR;
            let text = format!("{shown}: {errno}: list it with: qn ls {shown}");
            return Err(Fault::with_errno(text, errno));
        }
        Ok(source)
    }

    /// Makes it, or empties it, for writing.
    pub(super) fn create(&self, mode: u32) -> Result<Sink, Fault> {
        Ok(match self {
            Place::Qnet(path) => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(mode);
                Sink::Qnet(options.open(path).map_err(|errno| self.fault(errno))?)
            }
            Place::Host(path) => {
                let mut options = fs::OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(mode);
                Sink::Host(options.open(path).map_err(|error| self.fault(error))?)
            }
            Place::Pipe => Sink::Pipe(io::stdout()),
        })
    }

    /// Makes a directory; one that is there already is fine.
    pub(super) fn make_dir(&self) -> Result<(), Fault> {
        let made = match self {
            Place::Qnet(path) => file::mkdir(path, 0o777),
            Place::Host(path) => fs::create_dir(path).map_err(Errno::from),
            Place::Pipe => Err(Errno::ENOTDIR),
        };
        match made {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(self.fault(errno)),
        }
    }

    /// The names in a directory.
    pub(super) fn names(&self) -> Result<Vec<PathBuf>, Fault> {
        let names = match self {
            Place::Qnet(path) => file::read_dir(path)
                .and_then(|dir| dir.map(|entry| Ok(PathBuf::from(entry?.name))).collect()),
            Place::Host(path) => fs::read_dir(path)
                .and_then(|dir| {
                    dir.map(|entry| Ok(PathBuf::from(entry?.file_name())))
                        .collect()
                })
                .map_err(Errno::from),
            Place::Pipe => Err(Errno::ENOTDIR),
        };
        names.map_err(|errno| self.fault(errno))
    }

    /// Whether both are one file, by whatever names: also a file of this machine and the same file where it is served.
    pub(super) fn is_same(&self, other: &Place) -> bool {
        let normal = |place: &Place| match place {
            Place::Qnet(path) => Pathname::of(path)
                .ok()
                .map(|path| path.as_path().to_owned()),
            Place::Host(_) | Place::Pipe => None,
        };
        let has_same_name = normal(self).is_some_and(|name| Some(name) == normal(other));
        has_same_name
            || self
                .identity()
                .is_some_and(|identity| Some(identity) == other.identity())
    }

    /// Whether this is the directory `dir` or in it, by whatever names; what is not there yet will be in the directory
    /// that its path names.
    pub(super) fn is_below(&self, dir: &Place) -> bool {
        let above: Vec<Place> = match self {
            Place::Qnet(path) => match Pathname::of(path) {
                Ok(path) => ancestors(path.as_path(), Place::Qnet),
                Err(_) => return false,
            },
            Place::Host(path) => {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let there = absolute
                    .ancestors()
                    .find_map(|path| path.canonicalize().ok());
                ancestors(&there.unwrap_or(absolute), Place::Host)
            }
            Place::Pipe => return false,
        };
        above.iter().any(|above| above.is_same(dir))
    }

    /// What tells it from every other file, on this node and others; `None` for what is not there or has no such number.
    fn identity(&self) -> Option<(u64, u64)> {
        let (dev, ino) = match self {
            Place::Qnet(path) => file::stat(path).ok().map(|found| (found.dev, found.ino))?,
            Place::Host(path) => fs::metadata(path)
                .ok()
                .map(|found| (found.dev(), found.ino()))?,
            Place::Pipe => return None,
        };
        (ino != 0).then_some((dev, ino))
    }

    /// An error on this file.
    pub(super) fn fault(&self, error: impl Into<io::Error>) -> Fault {
        let error = error.into();
        match self {
            Place::Qnet(path) => Fault::on_path(Errno::of(&error), path),
            place => Fault::on_host(&error, place),
        }
    }
}

/// A path and those above it.
fn ancestors(path: &Path, place: fn(PathBuf) -> Place) -> Vec<Place> {
    path.ancestors()
        .map(|path| place(path.to_owned()))
        .collect()
}

/// A file that is read.
pub(super) enum Source {
    Qnet(File),
    Host(fs::File),
    Pipe(io::Stdin),
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Qnet(file) => Read::read(file, buf),
            Source::Host(file) => file.read(buf),
            Source::Pipe(pipe) => pipe.read(buf),
        }
    }
}

/// A file that is written.
pub(super) enum Sink {
    Qnet(File),
    Host(fs::File),
    Pipe(io::Stdout),
}

impl Sink {
    /// Writes all.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Qnet(file) => Write::write_all(file, bytes),
            Sink::Host(file) => file.write_all(bytes),
            Sink::Pipe(pipe) => pipe.write_all(bytes),
        }
    }

    /// Closes it, and says what came of it.
    pub(super) fn close(self) -> io::Result<()> {
        match self {
            Sink::Qnet(file) => Ok(file.close()?),
            Sink::Host(file) => Ok(nix::unistd::close(file)?),
            Sink::Pipe(mut pipe) => pipe.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_which_world_a_path_is_of() {
        let place = |text: &str| text.parse::<Place>();
        assert_eq!(place("/net/x"), Ok(Place::Qnet("/net/x".into())));
        assert_eq!(place("host:a/b"), Ok(Place::Host("a/b".into())));
        assert_eq!(place("-"), Ok(Place::Pipe));
        assert!(place("a/b").unwrap_err().contains("host:a/b"));
        assert!(place("host:").is_err());
    }

    #[test]
    fn one_file_under_two_names_is_seen() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        assert!(place("/a/../b").is_same(&place("/b")));
        assert!(place("host:/tmp").is_same(&place("host:/tmp/.")));
        assert!(!place("/tmp").is_same(&place("host:/tmp")));
        assert!(place("/a/b").is_below(&place("/a/")) && !place("/ab").is_below(&place("/a")));
        assert!(place("host:/tmp/none/x").is_below(&place("host:/tmp")));
        assert!(!place("host:/usr").is_below(&place("host:/tmp")));
    }
}
