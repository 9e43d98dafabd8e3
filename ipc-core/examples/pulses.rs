//! Pulses: a timer and an interrupt handler's way to tell a server something without waiting for it.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example pulses
//! tick 1
//! tick 2
//! tick 3
//! the clock stands at 3
//! ```

use std::{thread, time::Duration};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Nd, Pid, PulseCode, Result},
};

const TICK: PulseCode = PulseCode(1);
const TICKS: i64 = 3;

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();

    let timer = thread::spawn(move || -> Result<()> {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
        for tick in 1..=TICKS {
            thread::sleep(Duration::from_millis(5));
            // Higher than any message: a tick is received before whatever else waits.
            connection.send_pulse(Some(60), TICK, tick)?;
        }
        Ok(())
    });
    let client = thread::spawn(move || -> Result<i64> {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
        Ok(connection.send(b"what time is it?", &mut [])?.status)
    });

    // One thread, one loop: pulses change the state, messages are answered when it is as they want it.
    let mut now = 0;
    let mut asked = None;
    while now < TICKS || asked.is_none() {
        match channel.receive()? {
            Received::Pulse(pulse) => {
                now = pulse.value;
                println!("tick {now}");
            }
            // The client stays blocked; its receive id is all that is kept.
            Received::Message(message) => asked = Some(message.into_rcvid()),
        }
    }
    if let Some(id) = asked {
        channel.reply(id, now, b"")?;
    }
    let time = client.join().expect("the client does not panic")?;
    println!("the clock stands at {time}");
    timer.join().expect("the timer does not panic")
}
