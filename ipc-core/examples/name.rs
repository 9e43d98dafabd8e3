//! A server with a name, found from any node; nothing but the name is agreed on.
//!
//! Needs a process manager (`procmgr`). Without arguments it is both sides.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example name
//! upper says: HELLO
//! a name that nobody has: No such file or directory [ENOENT]
//! ```
//!
//! As two programs, on two nodes if a qnet runs on each:
//!
//! ```text
//! wintermute$ cargo run --example name -- serve upper
//! magenta$    cargo run --example name -- send /net/wintermute/dev/name/local/upper hello
//! ```

use std::{process::ExitCode, thread};

use ipc_core::{
    Channel, Received,
    abi::{ChannelFlags, Result},
    file::describe,
    proc::{NameScope, Registration, name_attach, name_open},
};

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, done) = match arguments[..] {
        ["serve", name] => (name, serve(name)),
        ["send", name, text] => (name, send(name, text)),
        _ => ("upper", both("upper")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => {
            eprintln!("name: {}", describe(errno, name));
            ExitCode::FAILURE
        }
    }
}

fn both(name: &'static str) -> Result<()> {
    let (channel, registration) = attach(name)?;
    thread::spawn(move || answer(&channel));
    print!("{name} says: ");
    send(name, "hello")?;
    // The name goes with its registration; the channel stays.
    drop(registration);
    if let Err(errno) = send(name, "hello") {
        println!("a name that nobody has: {errno}");
    }
    Ok(())
}

fn serve(name: &str) -> Result<()> {
    let (channel, _registration) = attach(name)?;
    println!("ready: {name}");
    answer(&channel)
}

fn attach(name: &str) -> Result<(Channel, Registration)> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let registration = name_attach(name, &channel, NameScope::Local)?;
    Ok((channel, registration))
}

fn answer(channel: &Channel) -> Result<()> {
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
