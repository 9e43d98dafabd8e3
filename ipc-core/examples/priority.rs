//! Priorities: what waits is received highest first, and in order of arrival among equals.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example priority
//! sent:     10 20 5 20 63 10
//! received: 63 20 20 10 10 5
//! ```

use std::thread;

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Chid, Nd, Pid, Result},
    set_priority, snapshot,
};

const SENT: [u8; 6] = [10, 20, 5, 20, 63, 10];

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();
    let mut clients = Vec::new();
    for (index, priority) in SENT.into_iter().enumerate() {
        clients.push(thread::spawn(move || -> Result<()> {
            // Every thread has a priority of its own, and its messages go by it.
            set_priority(priority);
            let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
            connection.send(b"", &mut []).map(drop)
        }));
        // Each is SEND-blocked before the next one starts: the order of arrival is that of `SENT`.
        while send_blocked(chid)? <= index {
            thread::yield_now();
        }
    }

    println!("sent:     {}", list(&SENT));
    let mut received = Vec::new();
    while received.len() < SENT.len() {
        if let Received::Message(message) = channel.receive()? {
            received.push(message.info().priority);
            message.reply(0, b"")?;
        }
    }
    println!("received: {}", list(&received));
    for client in clients {
        client.join().expect("no client panics")?;
    }
    Ok(())
}

/// How many clients wait to be received: what `qn blocked` shows.
fn send_blocked(chid: Chid) -> Result<usize> {
    let channels = snapshot(Pid::current())?.channels;
    let mut channels = channels.iter();
    let channel = channels.find(|channel| channel.chid == chid);
    Ok(channel.map_or(0, |channel| channel.send_blocked))
}

fn list(priorities: &[u8]) -> String {
    let numbers: Vec<_> = priorities.iter().map(u8::to_string).collect();
    numbers.join(" ")
}
