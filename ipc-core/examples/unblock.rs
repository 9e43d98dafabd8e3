//! Unblock requests: a server that must not be left alone with a half-done job.
//!
//! On a channel with `UNBLOCK` a client whose time is up stays blocked until the server, told by a pulse,
//! has cleaned up and answers. The server's answer counts, not the timeout.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example unblock
//! server: works on "print 1000 pages"
//! server: the client wants out; 3 pages are printed
//! client: 3 pages, and the printer is free again
//! ```

use std::{thread, time::Duration};

use ipc_core::{
    Channel, Connection, Received, Timeout,
    abi::{ChannelFlags, Nd, Pid, PulseCode, Rcvid, Result},
};

struct Job {
    client: Rcvid,
    pages: i64,
}

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::UNBLOCK)?;
    let chid = channel.chid();
    let client = thread::spawn(move || -> Result<i64> {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
        let patience = Timeout::reply(Duration::from_millis(50));
        let reply = connection.send_timeout(b"print 1000 pages", &mut [], patience)?;
        Ok(reply.status)
    });

    let mut job: Option<Job> = None;
    loop {
        match channel.receive()? {
            Received::Message(message) => {
                let order = message.read_vec(0, message.len())?;
                println!("server: works on {:?}", String::from_utf8_lossy(&order));
                // The printer gets three pages done before it runs out of paper.
                let (client, pages) = (message.into_rcvid(), 3);
                job = Some(Job { client, pages });
            }
            // The value says whose wish it is; that one may have been answered meanwhile.
            Received::Pulse(pulse) if pulse.code == PulseCode::UNBLOCK => {
                if let Some(job) = job.take_if(|job| job.client == Rcvid(pulse.value)) {
                    println!(
                        "server: the client wants out; {} pages are printed",
                        job.pages
                    );
                    channel.reply(job.client, job.pages, b"")?;
                    break;
                }
            }
            Received::Pulse(_) => {}
        }
    }
    let pages = client.join().expect("the client does not panic")?;
    println!("client: {pages} pages, and the printer is free again");
    Ok(())
}
