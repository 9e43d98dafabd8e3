//! Timeouts: a plain duration for the whole send, or for one of the two states a sender blocks in.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example timeouts
//! nobody receives: Connection timed out [ETIMEDOUT]
//! received, not answered: Connection timed out [ETIMEDOUT]
//! a slow answer to a message that was received in time: 7
//! nothing to receive: Connection timed out [ETIMEDOUT]
//! ```

use std::{thread, time::Duration};

use ipc_core::{
    Channel, Connection, Received, Timeout,
    abi::{ChannelFlags, Errno, Nd, Pid, Result},
};

const SOON: Duration = Duration::from_millis(20);
const PATIENT: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;

    // SEND-blocked: the message is withdrawn, and the server never sees it.
    let sent = connection.send_timeout(b"?", &mut [], SOON);
    println!("nobody receives: {}", sent.unwrap_err());

    thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<()> {
            // REPLY-blocked: the client goes, and the late answer reaches nobody.
            let Received::Message(message) = channel.receive()? else {
                return Err(Errno::EPROTO);
            };
            while message.read(0, &mut []).is_ok() {
                thread::sleep(SOON / 20);
            }
            assert_eq!(message.reply(0, b"late"), Err(Errno::ESRCH));

            let Received::Message(message) = channel.receive()? else {
                return Err(Errno::EPROTO);
            };
            thread::sleep(3 * SOON);
            message.reply(7, b"")
        });

        let sent = connection.send_timeout(b"?", &mut [], Timeout::reply(SOON));
        println!("received, not answered: {}", sent.unwrap_err());

        let sent = connection.send_timeout(b"?", &mut [], Timeout::send(PATIENT))?;
        println!(
            "a slow answer to a message that was received in time: {}",
            sent.status
        );
        server.join().expect("the server does not panic")
    })?;

    // The poll idiom: zero takes what is there. `try_receive` says the same with an `Option`.
    let received = channel.receive_timeout(Duration::ZERO);
    println!("nothing to receive: {}", received.unwrap_err());
    Ok(())
}
