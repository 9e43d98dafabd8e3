//! B2, pipes: one each way, the payload through the kernel.

use std::io::{PipeReader, PipeWriter, Read, Write};

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::setting::Setting;

/// Builds the ruler.
///
/// # Errors
/// No pipes or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let (mut server_rx, mut client_tx) = std::io::pipe()?;
    let (mut client_rx, mut server_tx) = std::io::pipe()?;
    setting
        .arm("B2 pipe")
        .seat(setting.server(), |_| {
            Ok(silent(move |number| {
                take(&mut server_rx, number)?;
                put(&mut server_tx, number)
            }))
        })?
        .seat(setting.client(), |_| {
            Ok(timed(move |number| {
                put(&mut client_tx, number)?;
                take(&mut client_rx, number)
            }))
        })
}

fn put(to: &mut PipeWriter, number: u64) -> crate::Result<()> {
    Ok(to.write_all(&payload::small(number))?)
}

fn take(from: &mut PipeReader, number: u64) -> crate::Result<()> {
    let mut bytes = [0; payload::SMALL_LEN];
    from.read_exact(&mut bytes)?;
    payload::check_small(&bytes, number)
}
