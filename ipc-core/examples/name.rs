//! A server with a name, found from any node; nothing but the name is agreed on.
//!
//! ```text
//! wintermute$ cargo run --example name -- serve upper
//! magenta$    cargo run --example name -- send /net/wintermute/dev/name/local/upper hello
//! HELLO
//! ```

use std::process::ExitCode;

use ipc_core::{
    Channel, Received,
    abi::{ChannelFlags, Result},
    file::describe,
    proc::{NameScope, name_attach, name_open},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, done) = match arguments[..] {
        ["serve", name] => (name, serve(name)),
        ["send", name, text] => (name, send(name, text)),
        _ => {
            eprintln!("usage: name serve NAME | name send NAME TEXT");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => {
            eprintln!("name: {}", describe(errno, name));
            ExitCode::FAILURE
        }
    }
}

fn serve(name: &str) -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let _registration = name_attach(name, &channel, NameScope::Local)?;
    println!("ready: {name}");
    loop {
        if let Received::Message(message) = channel.receive()? {
            let text = message.read_vec(0, message.len())?;
            // A client that has gone meanwhile is nobody's fault.
            message.reply(0, &text.to_ascii_uppercase()).ok();
        }
    }
}

fn send(name: &str, text: &str) -> Result<()> {
    let connection = name_open(name, NameScope::Local)?;
    let mut answer = vec![0; text.len()];
    let reply = connection.send(text.as_bytes(), &mut answer)?;
    println!("{}", String::from_utf8_lossy(&answer[..reply.len]));
    Ok(())
}
