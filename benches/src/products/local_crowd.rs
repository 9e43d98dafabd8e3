//! Many blocking clients and one server on one node.

use crate::method::{Arm, Crowd};
use crate::payload::{self, SMALL_LEN};
use crate::products::remote_crowd::server;
use crate::products::{attach, serve};
use crate::setting::Setting;

/// Builds the arm with as many clients, each a thread with a connection of its own, as the setting says.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let clients = setting.load.clients;
    setting
        .arm("this project")
        .seat(setting.server(), |stage| {
            Ok(server(serve(setting, stage)?, clients))
        })?
        .seat(setting.client(), |stage| {
            let members: crate::Result<Vec<_>> = (0..clients)
                .map(|_| {
                    let connection = attach(setting, stage.heard[0])?;
                    Ok(move |number| {
                        let mut reply = [0; SMALL_LEN];
                        connection.send(&payload::small(number), &mut reply)?;
                        payload::check_small(&reply, number)
                    })
                })
                .collect();
            Ok(Box::new(Crowd::new(members?)))
        })
}
