//! Submit and collect: one thread asks three servers at once, and takes the answers as they come.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example collect
//! 90 messages in flight, of one thread
//! 90 answers, sum 4005
//! ```

use std::thread;

use ipc_core::{
    AttachOptions, Channel, CompletionQueue, Connection, Received,
    abi::{ChannelFlags, Chid, Nd, Pid, Result},
};

const SERVERS: u64 = 3;
const MESSAGES_EACH: u64 = 30;

/// Answers every message with itself, after it has got all of them.
fn start_server() -> Result<Chid> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();
    thread::spawn(move || -> Result<()> {
        let mut messages = Vec::new();
        while messages.len() < MESSAGES_EACH as usize {
            if let Received::Message(message) = channel.receive()? {
                messages.push(message);
            }
        }
        for message in messages {
            let number: u64 = message.read_typed()?;
            message.reply_typed(0, &number)?;
        }
        // The channel lives until its answers were taken.
        channel.receive().map(drop)
    });
    Ok(chid)
}

fn main() -> Result<()> {
    let queue = CompletionQueue::new()?;
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let mut connections = Vec::new();
    for _ in 0..SERVERS {
        let chid = start_server()?;
        connections.push(Connection::attach_with(
            Nd::LOCAL,
            Pid::SELF,
            chid,
            &options,
        )?);
    }

    let mut in_flight = 0;
    for number in 0..SERVERS * MESSAGES_EACH {
        let connection = &connections[(number % SERVERS) as usize];
        let mut loan = connection.loan(8, 8)?;
        loan.write_typed(0, &number)?;
        // The token tells the answers apart; here it is the number itself.
        connection.submit(loan, number)?;
        in_flight += 1;
    }
    println!("{in_flight} messages in flight, of one thread");

    let (mut answers, mut sum) = (0, 0);
    while in_flight > 0 {
        let completion = queue.next(None)?;
        in_flight -= 1;
        let number: u64 = completion.result?.read_typed(0)?;
        assert_eq!(number, completion.token);
        answers += 1;
        sum += number;
    }
    println!("{answers} answers, sum {sum}");
    Ok(())
}
