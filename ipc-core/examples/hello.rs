//! The least there is: one message, one reply.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example hello
//! hello, wintermute
//! ```

use std::thread;

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Nd, Pid, Result},
};

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();

    let server = thread::spawn(move || -> Result<()> {
        if let Received::Message(message) = channel.receive()? {
            let name = message.read_vec(0, message.len())?;
            message.reply(0, &[b"hello, ", name.as_slice()].concat())?;
        }
        Ok(())
    });

    // Another process would give the server's process id instead of `Pid::SELF`.
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
    let mut greeting = [0; 64];
    let reply = connection.send(b"wintermute", &mut greeting)?;
    println!("{}", String::from_utf8_lossy(&greeting[..reply.len]));
    server.join().expect("the server does not panic")
}
