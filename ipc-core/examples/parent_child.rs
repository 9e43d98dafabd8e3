//! Two processes: a parent that serves, and a child that asks and is then killed.
//!
//! The two agree on nothing but a process id and a channel id; no daemon runs. (A child that is forked
//! without `exec` has its parent's channels in name only: it attaches like any other process.)
//!
//! ```text
//! $ cargo run -q -p ipc-core --example parent_child
//! parent: my child asks "are you there?"
//! child: my parent says "yes"
//! parent: my child is gone
//! ```

use std::{
    env,
    process::{Child, Command},
};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Result},
};

fn main() -> Result<()> {
    match env::args().nth(1) {
        None => serve(),
        Some(chid) => ask(Chid(chid.parse().map_err(|_| Errno::EINVAL)?)),
    }
}

fn serve() -> Result<()> {
    // With DISCONNECT, a pulse tells when a client process has gone, however it went.
    let channel = Channel::create(ChannelFlags::DISCONNECT)?;
    let mut child = start_child(channel.chid())?;
    loop {
        match channel.receive()? {
            Received::Message(message) => {
                // Who sent it is the kernel's word.
                assert_eq!(message.client().pid, Pid::from(&child));
                let text = message.read_vec(0, message.len())?;
                if text == b"kill me" {
                    // Its message stays unanswered: nobody waits for the answer any more.
                    child.kill()?;
                    child.wait()?;
                    continue;
                }
                println!("parent: my child asks {:?}", String::from_utf8_lossy(&text));
                message.reply(0, b"yes")?;
            }
            Received::Pulse(pulse) if pulse.code == PulseCode::DISCONNECT => {
                println!("parent: my child is gone");
                return channel.detach_client(pulse.scoid);
            }
            Received::Pulse(_) => {}
        }
    }
}

fn start_child(chid: Chid) -> Result<Child> {
    let own = env::current_exe()?;
    Ok(Command::new(own).arg(chid.0.to_string()).spawn()?)
}

fn ask(chid: Chid) -> Result<()> {
    let parent = Pid::from(std::os::unix::process::parent_id());
    let connection = Connection::attach(Nd::LOCAL, parent, chid)?;
    let mut answer = [0; 16];
    let reply = connection.send(b"are you there?", &mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..reply.len]).into_owned();
    println!("child: my parent says {answer:?}");
    connection.send(b"kill me", &mut []).map(drop)
}
