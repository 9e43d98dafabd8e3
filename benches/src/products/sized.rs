//! Messages of any size, on one node and to another: for the plots by size, and by the load that is asked for.

use ipc_core::{Channel, Connection};

use crate::exchange::{Exchange, answer};
use crate::method::{Arm, Side, paced, silent};
use crate::products::remote::{self, SERVER_SIDE, nodes};
use crate::products::{self, receive_message};
use crate::setting::Setting;

/// On one node, between private buffers.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn local(setting: &Setting) -> crate::Result<Arm> {
    setting
        .arm("this project")
        .seat(setting.server(), |stage| {
            Ok(server(products::serve(setting, stage)?, setting.bytes))
        })?
        .seat(setting.client(), |stage| {
            Ok(client(products::attach(setting, stage.heard[0])?, setting))
        })
}

/// To another node.
///
/// # Errors
/// What keeps a daemon from starting, or the client from attaching.
pub fn remote(setting: &Setting) -> crate::Result<Arm> {
    let [node, _] = setting.nodes()?;
    nodes(setting, "this project", |setting, stage| {
        Ok(server(remote::serve(setting, stage)?, setting.bytes))
    })?
    .seat(setting.client(), |stage| {
        let connection = remote::attach(setting, node, stage.heard[SERVER_SIDE])?;
        Ok(client(connection, setting))
    })
}

fn server(channel: Channel, len: usize) -> Box<dyn Side> {
    let mut private = vec![0; len];
    silent(move |_| {
        let message = receive_message(&channel)?;
        message.read(0, &mut private)?;
        Ok(message.reply(0, &answer(&private))?)
    })
}

fn client(connection: Connection, setting: &Setting) -> Box<dyn Side> {
    let mut exchange = Exchange::new(setting.bytes);
    paced(setting.load.rate, move |number| {
        let mut reply = [0; 64];
        let answered = connection.send(exchange.message(number), &mut reply)?;
        exchange.check(&reply[..answered.len.min(reply.len())])
    })
}
