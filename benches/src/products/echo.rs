//! L1 to L5: one client sends 64 bytes, the server replies with the same.

use crate::method::{Arm, silent, timed};
use crate::payload::{self, SMALL_LEN};
use crate::products::{attach, receive_message, serve};
use crate::setting::{Setting, Wait};

/// Builds the arm in the setting's wait mode.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm(name(setting.wait))
        .seat(setting.server(), |stage| {
            let channel = serve(setting, stage)?;
            Ok(silent(move |number| {
                let message = receive_message(&channel)?;
                let mut bytes = [0; SMALL_LEN];
                message.read(0, &mut bytes)?;
                payload::check_small(&bytes, number)?;
                Ok(message.reply(0, &bytes)?)
            }))
        })?
        .seat(setting.client(), |stage| {
            let connection = attach(setting, stage.heard[0])?;
            Ok(timed(move |number| {
                let mut reply = [0; SMALL_LEN];
                connection.send(&payload::small(number), &mut reply)?;
                payload::check_small(&reply, number)
            }))
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
