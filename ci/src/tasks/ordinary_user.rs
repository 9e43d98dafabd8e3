//! Runs programs as a user without privileges, from a folder that this user can read.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::{Gid, Uid, chown};

use crate::command;

/// What a node consists of, as the release build names it.
pub(super) const PROGRAMS: [&str; 6] = [
    "netlab",
    "procmgr",
    "qnet",
    "fs-export",
    "qn",
    "libqnet_preload.so",
];

/// The user that Debian calls nobody; any id without rights would do.
const UID: u32 = 65534;

/// A user with a folder of its own that holds copies of the programs. The folder goes with the value.
pub(super) struct OrdinaryUser {
    folder: PathBuf,
}

impl OrdinaryUser {
    /// Copies the programs where the user can run them: the build folder may be below `/root`.
    ///
    /// # Errors
    ///
    /// A sentence that says what could not be copied.
    pub(super) fn prepare(from: &Path, programs: &[&str]) -> Result<OrdinaryUser, String> {
        let folder = std::env::temp_dir().join(format!("qnet-ci-{}", std::process::id()));
        let user = OrdinaryUser { folder };
        user.copy(from, programs)
            .map_err(|error| format!("copying {}: {error}", from.display()))?;
        Ok(user)
    }

    /// A command for one of the programs, as the user, with nothing of our environment but the search path.
    pub(super) fn command(&self, program: &str) -> Command {
        self.as_user(Command::new(self.folder.join("bin").join(program)))
    }

    /// Whether the user may make user and network namespaces on this machine.
    pub(super) fn may_make_namespaces(&self) -> bool {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "true"]);
        command::exists(&mut self.as_user(unshare))
    }

    /// The user's id.
    pub(super) fn uid(&self) -> u32 {
        UID
    }

    fn copy(&self, from: &Path, programs: &[&str]) -> io::Result<()> {
        let (bin, home) = (self.folder.join("bin"), self.folder.join("home"));
        fs::create_dir_all(&bin)?;
        fs::create_dir_all(&home)?;
        for folder in [&self.folder, &bin] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
        chown(&home, Some(Uid::from_raw(UID)), Some(Gid::from_raw(UID)))?;
        for program in programs {
            fs::copy(from.join(program), bin.join(program))?;
        }
        Ok(())
    }

    fn as_user(&self, mut command: Command) -> Command {
        let home = self.folder.join("home");
        command.uid(UID).gid(UID).current_dir(&home).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("XDG_RUNTIME_DIR", &home);
        command
    }
}

impl Drop for OrdinaryUser {
    fn drop(&mut self) {
        // What is left in the temporary folder after an error here harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
