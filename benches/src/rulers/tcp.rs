//! B5: TCP_RR on the veth pair, one connection, TCP_NODELAY, blocking or spinning.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::setting::{Setting, Wait};

/// Builds the ruler.
///
/// # Errors
/// No sockets or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let spin = setting.wait == Wait::Spin;
    let [client, server] = setting.nodes()?;
    setting
        .arm("B5 TCP_RR")
        .seat(setting.server(), |stage| {
            server.enter()?;
            let listener = TcpListener::bind((server.address, 0))?;
            stage.notice[0] = u64::from(listener.local_addr()?.port());
            let mut stream = None;
            Ok(silent(move |number| {
                let stream = match &mut stream {
                    Some(stream) => stream,
                    none => none.insert(prepare(listener.accept()?.0, spin)?),
                };
                take(stream, number)?;
                put(stream, number)
            }))
        })?
        .seat(setting.client(), |stage| {
            client.enter()?;
            let port = stage.heard[0][0] as u16;
            let mut stream = prepare(TcpStream::connect((server.address, port))?, spin)?;
            Ok(timed(move |number| {
                put(&mut stream, number)?;
                take(&mut stream, number)
            }))
        })
}

fn prepare(stream: TcpStream, spin: bool) -> crate::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(spin)?;
    Ok(stream)
}

fn put(stream: &mut TcpStream, number: u64) -> crate::Result<()> {
    // One small message in flight never fills the socket's buffer.
    Ok(stream.write_all(&payload::small(number))?)
}

fn take(stream: &mut TcpStream, number: u64) -> crate::Result<()> {
    let mut bytes = [0; payload::SMALL_LEN];
    let mut len = 0;
    while len < bytes.len() {
        match stream.read(&mut bytes[len..]) {
            Ok(0) => return Err("the other end closed the connection".into()),
            Ok(more) => len += more,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    payload::check_small(&bytes, number)
}
