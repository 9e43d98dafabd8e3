//! N5: many blocking clients on one node, one server on the other.

use ipc_core::Channel;

use crate::method::{Arm, Crowd, Side, Stopwatch};
use crate::payload::{self, SMALL_LEN};
use crate::products::receive_message;
use crate::products::remote::{SERVER_SIDE, attach, nodes, serve};
use crate::setting::Setting;

/// Builds the arm with as many clients, each a thread with a connection of its own, as the setting says.
///
/// # Errors
/// What keeps a daemon from starting, or a client from attaching.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let [client, _] = setting.nodes()?;
    let clients = setting.load.clients;
    nodes(setting, "remote clients", |setting, stage| {
        Ok(server(serve(setting, stage)?, clients))
    })?
    .seat(setting.client(), |stage| {
        let members: crate::Result<Vec<_>> = (0..clients)
            .map(|_| {
                let connection = attach(setting, client, stage.heard[SERVER_SIDE])?;
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

/// The server of `clients` members of a [`Crowd`].
pub(super) fn server(channel: Channel, clients: u32) -> Box<dyn Side> {
    Box::new(Server { channel, clients })
}

struct Server {
    channel: Channel,
    clients: u32,
}

impl Side for Server {
    fn run(&mut self, rounds: u32, _: &mut Stopwatch) -> crate::Result<()> {
        for _ in 0..u64::from(rounds) * u64::from(self.clients) {
            let message = receive_message(&self.channel)?;
            let mut bytes = [0; SMALL_LEN];
            message.read(0, &mut bytes)?;
            message.reply(0, &bytes)?;
        }
        Ok(())
    }
}
