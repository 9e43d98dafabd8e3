//! A server of tokio's tasks, which ends gracefully: it answers what it has received, then goes.
//!
//! `async_client` starts it, and so does anyone who gives the client its two numbers. It ends when its
//! standard input does.
//!
//! ```text
//! $ cargo run -q -p ipc-core --features tokio --example async_server < /dev/null
//! ready: process … channel …
//! served 0 messages
//! ```

use std::{io::Read, time::Duration};

use ipc_core::{
    Received, ReceivedMessage,
    abi::{ChannelFlags, Pid, Result},
    tokio::AsyncChannel,
};
use tokio::{sync::oneshot, task::JoinSet, time::sleep};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let channel = AsyncChannel::create(ChannelFlags::empty())?;
    println!(
        "ready: process {} channel {}",
        Pid::current().0,
        channel.chid().0
    );
    let mut end = input_ended();
    let mut working = JoinSet::new();
    let mut served = 0;
    loop {
        tokio::select! {
            // A receive that is dropped because the other branch was ready took nothing.
            received = channel.receive() => {
                if let Received::Message(message) = received? {
                    working.spawn(serve(message));
                }
            }
            // Tasks that have ended are counted as they do.
            Some(_) = working.join_next() => served += 1,
            _ = &mut end => break,
        }
    }
    served += working.join_all().await.len();
    // Whoever still waits to be received gets ESRCH now.
    drop(channel);
    println!("served {served} messages");
    Ok(())
}

/// Each message is a number of milliseconds, and the answer comes after as many.
async fn serve(message: ReceivedMessage) {
    let Ok(naptime_ms) = message.read_typed::<u64>() else {
        // Dropped unanswered: the client gets EIO.
        return;
    };
    sleep(Duration::from_millis(naptime_ms.min(1000))).await;
    // The client may have given up meanwhile; its message is no longer there to be answered then.
    let _ = message.reply_typed(0, &naptime_ms);
}

/// Standard input is read on a thread of its own, as the program must be able to end without it.
fn input_ended() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    end
}
