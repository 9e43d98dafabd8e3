//! L1 to L5: one client sends 64 bytes, the server replies with the same.

use crate::method::Arm;
use crate::products::{attach, serve, small};
use crate::setting::{Setting, Wait};

/// Builds the arm in the setting's wait mode.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm(name(setting.wait))
        .seat(setting.server(), |stage| {
            Ok(small::answering(serve(setting, stage)?))
        })?
        .seat(setting.client(), |stage| {
            Ok(small::asking(attach(setting, stage.heard[0])?))
        })
}

/// The arm that spins, whatever the setting's mode.
///
/// # Errors
/// As [`arm`].
pub fn spinning(setting: &Setting) -> crate::Result<Arm> {
    arm(&Setting {
        wait: Wait::Spin,
        ..*setting
    })
}

/// The arm that sleeps at once, whatever the setting's mode.
///
/// # Errors
/// As [`arm`].
pub fn blocking(setting: &Setting) -> crate::Result<Arm> {
    arm(&Setting {
        wait: Wait::Block,
        ..*setting
    })
}

fn name(wait: Wait) -> &'static str {
    match wait {
        Wait::Spin => "echo, spin",
        Wait::Block => "echo, block",
        Wait::Adaptive => "echo, adaptive",
    }
}
