//! Counters: why a channel is as fast or as slow as it is.
//!
//! A client that still looks for its answer when it comes costs nothing to wake; one that sleeps costs a
//! system call of the server and a wake-up of its own. The counters tell which it was.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example statistics
//! looking as long as it pays: 1000 messages, 1000 replies, … wakes sent, … avoided
//!   receives that found something while they looked: …, in vain: …
//! sleeping at once: 1000 messages, 1000 replies, … wakes sent, … avoided
//!   receives that found something while they looked: 0, in vain: 0
//! ```

use std::thread;

use ipc_core::{
    Channel, ChannelStats, Connection, Received, SpinPolicy,
    abi::{ChannelFlags, Nd, Pid, PulseCode, Result},
};

const MESSAGES: u64 = 1000;
const STOP: PulseCode = PulseCode(0);

fn main() -> Result<()> {
    report("looking as long as it pays", run(SpinPolicy::Adaptive)?);
    report("sleeping at once", run(SpinPolicy::Never)?);
    Ok(())
}

/// Sends so many messages, one after the other, with both sides waiting in the same way.
fn run(policy: SpinPolicy) -> Result<ChannelStats> {
    let channel = Channel::create(ChannelFlags::empty())?;
    channel.set_spin(policy);
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid())?;
    connection.set_spin(policy);
    thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<()> {
            while let Received::Message(message) = channel.receive()? {
                message.reply(0, b"")?;
            }
            Ok(())
        });
        for _ in 0..MESSAGES {
            connection.send(b"", &mut [])?;
        }
        connection.send_pulse(None, STOP, 0)?;
        server.join().expect("the server does not panic")
    })?;
    Ok(channel.stats())
}

fn report(what: &str, stats: ChannelStats) {
    println!(
        "{what}: {} messages, {} replies, {} wakes sent, {} avoided",
        stats.messages, stats.replies, stats.wakes_sent, stats.wakes_avoided
    );
    println!(
        "  receives that found something while they looked: {}, in vain: {}",
        stats.spins_won, stats.spins_lost
    );
    assert_eq!(stats.wakes_sent + stats.wakes_avoided, stats.replies);
}
