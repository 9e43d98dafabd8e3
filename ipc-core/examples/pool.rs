//! A pool: several threads receive on one channel, and each client is served by whichever is free.
//!
//! The work of this server can only be done if four messages are served at the same time.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example pool
//! 4 threads served 20 messages, 4 at a time
//! ```

use std::{
    sync::{Arc, Barrier},
    thread,
};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Errno, Nd, Pid, Result},
};

const THREADS: usize = 4;
const ROUNDS: usize = 5;

fn serve(channel: &Channel, together: &Barrier) -> Result<usize> {
    let mut served = 0;
    loop {
        match channel.receive()? {
            Received::Message(message) => {
                together.wait();
                message.reply(0, b"")?;
                served += 1;
            }
            Received::Pulse(_) => return Ok(served),
        }
    }
}

fn main() -> Result<()> {
    let channel = Arc::new(Channel::create(ChannelFlags::empty())?);
    let together = Arc::new(Barrier::new(THREADS));
    let pool: Vec<_> = (0..THREADS)
        .map(|_| {
            let (channel, together) = (Arc::clone(&channel), Arc::clone(&together));
            thread::spawn(move || serve(&channel, &together))
        })
        .collect();

    // One connection is enough: each thread's send is a transaction of its own.
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    connection.send(b"", &mut []).expect("the server answers");
                }
            });
        }
    });

    // A pulse for each thread ends it.
    for _ in 0..THREADS {
        channel.send_pulse(0, ipc_core::abi::PulseCode(0), 0)?;
    }
    let served = pool.into_iter().map(|thread| {
        let served = thread.join().expect("no thread of the pool panics");
        served.inspect_err(|errno: &Errno| eprintln!("pool: {errno}"))
    });
    let served = served.sum::<Result<usize>>()?;
    println!("{THREADS} threads served {served} messages, {THREADS} at a time");
    Ok(())
}
