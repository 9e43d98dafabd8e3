//! Paths of the pathname space: absolute, normalised, within the limits.
//!
//! `..` is resolved here, by its text, before a path is looked up: `/net/wintermute/..` is `/net`, and
//! `..` at the root stays there. A path crosses servers and nodes, none of which knows what lies above
//! its own prefix, so no other party could. After a symbolic link `/a/link/..` is therefore `/a`, as in
//! a shell's `cd`, and not the parent of where the link leads.

#![forbid(unsafe_code)]

use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt, path::Path};

use crate::abi::{
    Errno, Result,
    limits::{NAME_LEN_MAX, PATH_LEN_MAX},
};

/// An absolute path without empty components, `.` and `..`.
///
/// A trailing slash is kept, as [`Pathname::must_be_dir`]: it says that only a directory will do.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pathname {
    /// `/a/b`, or nothing for the root; never ends in a slash.
    text: Vec<u8>,
    must_be_dir: bool,
}

impl Pathname {
    /// The root.
    pub const ROOT: Pathname = Pathname {
        text: Vec::new(),
        must_be_dir: true,
    };

    /// Checks and normalises an absolute path.
    ///
    /// # Errors
    /// `ENOENT` empty, `EINVAL` not absolute or holding a NUL, `ENAMETOOLONG` the path, as given, or a
    /// component of it is too long.
    pub fn parse(path: &[u8]) -> Result<Pathname> {
        match path.first() {
            None => Err(Errno::ENOENT),
            Some(b'/') => Pathname::ROOT.join(path),
            Some(_) => Err(Errno::EINVAL),
        }
    }

    /// [`Pathname::parse`] of a path of the standard library.
    ///
    /// # Errors
    /// As there.
    pub fn of(path: impl AsRef<Path>) -> Result<Pathname> {
        Pathname::parse(path.as_ref().as_os_str().as_bytes())
    }

    /// The path that `path` means as seen from this one: itself when it is absolute, else below.
    ///
    /// # Errors
    /// As [`Pathname::parse`]; an empty `path` is this one.
    pub fn join(&self, path: &[u8]) -> Result<Pathname> {
        if path.len() >= PATH_LEN_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let mut text = if path.first() == Some(&b'/') {
            Vec::new()
        } else {
            self.text.clone()
        };
        for component in path.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => text.truncate(parent_len(&text)),
                name if name.len() > NAME_LEN_MAX => return Err(Errno::ENAMETOOLONG),
                name => {
                    text.push(b'/');
                    text.extend_from_slice(name);
                }
            }
        }
        if text.len() >= PATH_LEN_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let last = path.rsplit(|&byte| byte == b'/').next();
        let must_be_dir = text.is_empty()
            || if path.is_empty() {
                self.must_be_dir
            } else {
                matches!(last, Some(b"" | b"." | b".."))
            };
        Ok(Pathname { text, must_be_dir })
    }

    /// The path without a trailing slash, except for the root, which is one slash.
    pub fn as_bytes(&self) -> &[u8] {
        if self.text.is_empty() {
            b"/"
        } else {
            &self.text
        }
    }

    /// The path as it is sent in messages: with the trailing slash, if only a directory will do.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.text.clone();
        if self.must_be_dir {
            bytes.push(b'/');
        }
        bytes
    }

    /// The path for the standard library.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.as_bytes()))
    }

    /// Whether the path said that it means a directory.
    pub fn must_be_dir(&self) -> bool {
        self.must_be_dir
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.text.is_empty()
    }

    /// The components, outermost first; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|&byte| byte == b'/').skip(1)
    }

    /// Whether `self` is `other` or below it.
    pub fn starts_with(&self, other: &Pathname) -> bool {
        self.text
            .strip_prefix(other.text.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// The path without its last component; the root's is the root.
    pub fn parent(&self) -> Pathname {
        Pathname {
            text: self.text[..parent_len(&self.text)].to_vec(),
            must_be_dir: true,
        }
    }

    /// The path as a key of the pathname space: empty for the root.
    pub(super) fn key(&self) -> &[u8] {
        &self.text
    }
}

fn parent_len(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| byte == b'/').unwrap_or(0)
}

impl fmt::Display for Pathname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for Pathname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> String {
        String::from_utf8(Pathname::parse(path.as_bytes()).unwrap().to_bytes()).unwrap()
    }

    #[test]
    fn slashes_and_dots_go() {
        assert_eq!(normal("//a///b"), "/a/b");
        assert_eq!(normal("/a/./b"), "/a/b");
        assert_eq!(normal("/"), "/");
        assert_eq!(normal("/.//."), "/");
        assert_eq!(normal("/..."), "/...");
    }

    #[test]
    fn a_trailing_slash_stays_as_a_wish_for_a_directory() {
        assert_eq!(normal("/a//"), "/a/");
        assert_eq!(normal("/a/."), "/a/");
        assert_eq!(normal("/a/b/.."), "/a/");
        let path = Pathname::parse(b"/a/").unwrap();
        assert!(path.must_be_dir());
        assert_eq!(path.as_bytes(), b"/a");
    }

    #[test]
    fn dot_dot_goes_by_the_text_and_stays_at_the_root() {
        assert_eq!(normal("/net/wintermute/../magenta/x"), "/net/magenta/x");
        assert_eq!(normal("/../../a"), "/a");
    }

    #[test]
    fn bad_paths_have_their_errors() {
        assert_eq!(Pathname::parse(b""), Err(Errno::ENOENT));
        assert_eq!(Pathname::parse(b"a/b"), Err(Errno::EINVAL));
        assert_eq!(Pathname::parse(b"/a\0b"), Err(Errno::EINVAL));
        let component = [b"/".as_slice(), &[b'x'; NAME_LEN_MAX + 1]].concat();
        assert_eq!(Pathname::parse(&component), Err(Errno::ENAMETOOLONG));
        assert_eq!(
            Pathname::parse(&b"/ab".repeat(PATH_LEN_MAX / 3 + 1)),
            Err(Errno::ENAMETOOLONG)
        );
        assert!(Pathname::parse(&component[..NAME_LEN_MAX + 1]).is_ok());
    }

    #[test]
    fn a_join_that_grows_too_long_is_refused() {
        let long = Pathname::parse(&b"/abc".repeat(1000)).unwrap();
        assert_eq!(long.join(&b"abc/".repeat(24)), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn prefixes_end_where_components_end() {
        let path = |text: &str| Pathname::parse(text.as_bytes()).unwrap();
        assert!(path("/dev/ser1").starts_with(&path("/dev")));
        assert!(path("/dev/ser1").starts_with(&Pathname::ROOT));
        assert!(path("/dev").starts_with(&path("/dev/")));
        assert!(!path("/dev/ser1").starts_with(&path("/dev/se")));
    }

    #[test]
    fn join_takes_links_absolute_and_relative() {
        let dir = Pathname::parse(b"/home/rk").unwrap();
        assert_eq!(
            dir.join(b"../other/file").unwrap(),
            Pathname::parse(b"/home/other/file").unwrap()
        );
        assert_eq!(
            dir.join(b"/etc").unwrap(),
            Pathname::parse(b"/etc").unwrap()
        );
        assert_eq!(dir.join(b"").unwrap(), dir);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "/[a./]{0,40}") {
            let once = Pathname::parse(path.as_bytes()).unwrap();
            prop_assert_eq!(&Pathname::parse(&once.to_bytes()).unwrap(), &once);
            for component in once.components() {
                prop_assert!(!matches!(component, b"" | b"." | b".."));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Pathname::parse(&path);
        }
    }
}
