//! One client's round trip while many other connections to the same server are attached and idle.

use ipc_core::AttachOptions;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::method::{Arm, Seat, silent};
use crate::products::{attach, attach_with, serve, small};
use crate::setting::Setting;

/// For 10,000 connections, two descriptors each while they attach.
const FILES_WANTED: u64 = 32_768;

/// Builds the arm: server, a process that holds the idle connections, and the client.
///
/// # Errors
/// What creating the channel or attaching answers; EMFILE where the system allows too few open files.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm("this project")
        .seat(setting.server(), |stage| {
            allow_files()?;
            Ok(small::answering(serve(setting, stage)?))
        })?
        .seat(
            Seat {
                name: "idle clients",
                ..setting.client()
            },
            |stage| {
                allow_files()?;
                let options = AttachOptions {
                    slots: 1,
                    arena_len: 4096,
                    ..AttachOptions::default()
                };
                let idle: crate::Result<Vec<_>> = (0..setting.load.idle)
                    .map(|_| attach_with(setting, stage.heard[0], &options))
                    .collect();
                let idle = idle?;
                Ok(silent(move |_| match idle.iter().next_back() {
                    Some(one) if !one.is_alive() => Err("the server dropped an idle client".into()),
                    _ => Ok(()),
                }))
            },
        )?
        .seat(setting.client(), |stage| {
            Ok(small::asking(attach(setting, stage.heard[0])?))
        })
}

/// As many open files as the system lets this process have: root may have more than the limit it was given.
fn allow_files() -> crate::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if most < FILES_WANTED && setrlimit(Resource::RLIMIT_NOFILE, FILES_WANTED, FILES_WANTED).is_ok()
    {
        return Ok(());
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}
