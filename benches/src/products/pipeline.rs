//! L10: one thread keeps many messages in flight on one connection; the server takes and answers what is
//! there at once, 64 bytes there and 64 back.

use crate::method::Arm;
use crate::products::pipelined::{Client, Server, options};
use crate::products::{attach_with, serve};
use crate::setting::Setting;

/// Messages that the client submits, or takes replies of, before it does the other: what is in flight is to
/// keep the server busy meanwhile.
const BURST: u32 = 128;

/// Messages that the server takes at once.
const BATCH: usize = 128;

/// Builds the arm, with as many messages in flight as the setting says.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm("in flight")
        .seat(setting.server(), |stage| {
            let channel = serve(setting, stage)?;
            Ok(Box::new(Server::<true>::new(channel, BATCH)))
        })?
        .seat(setting.client(), |stage| {
            let depth = setting.load.depth;
            let connection = attach_with(setting, stage.heard[0], &options(depth))?;
            Ok(Box::new(Client::<true>::new(connection, depth, BURST)?))
        })
}
