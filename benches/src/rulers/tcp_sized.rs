//! TCP on the veth pair with messages of any size and the load that is asked for; blocking, TCP_NODELAY.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::exchange::{Exchange, answer};
use crate::method::{Arm, paced, silent};
use crate::setting::Setting;

/// Builds the arm: messages of the setting's size there, their answers back.
///
/// # Errors
/// No sockets or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let len = setting.bytes;
    setting
        .arm("TCP")
        .seat(setting.server(), |stage| {
            server.enter()?;
            let listener = TcpListener::bind((server.address, 0))?;
            stage.notice[0] = u64::from(listener.local_addr()?.port());
            let mut stream = None;
            let mut message = vec![0; len];
            Ok(silent(move |_| {
                let stream: &mut TcpStream = match &mut stream {
                    Some(stream) => stream,
                    none => none.insert(prepare(listener.accept()?.0)?),
                };
                stream.read_exact(&mut message)?;
                Ok(stream.write_all(&answer(&message))?)
            }))
        })?
        .seat(setting.client(), |stage| {
            client.enter()?;
            let port = stage.heard[0][0] as u16;
            let mut stream = prepare(TcpStream::connect((server.address, port))?)?;
            let mut exchange = Exchange::new(len);
            let mut reply = vec![0; answer(&vec![0; len]).len()];
            Ok(paced(setting.load.rate, move |number| {
                stream.write_all(exchange.message(number))?;
                stream.read_exact(&mut reply)?;
                exchange.check(&reply)
            }))
        })
}

fn prepare(stream: TcpStream) -> crate::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}
