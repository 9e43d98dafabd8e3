//! An event loop: one thread waits for messages, a timer and a pipe at once, with epoll.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example epoll
//! the pipe says: hello from the pipe
//! the timer says: now
//! a client says: hello from a client
//! ```

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Nd, Pid, Result},
    readiness::Pollable,
};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    timer::{Expiration, TimerSetTimeFlags},
    timerfd::{ClockId, TimerFd, TimerFlags},
};

const CHANNEL: u64 = 0;
const PIPE: u64 = 1;
const TIMER: u64 = 2;

fn main() -> Result<()> {
    let channel = Pollable::new(Channel::create(ChannelFlags::empty())?)?;
    let chid = channel.chid();
    let (reader, writer) = nix::unistd::pipe()?;
    let (mut reader, mut writer) = (File::from(reader), File::from(writer));
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty())?;

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let watch = |fd: &dyn AsFd, token| epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token));
    watch(&channel, CHANNEL)?;
    watch(&reader, PIPE)?;
    watch(&timer, TIMER)?;

    // Each event brings about the next one, so that this program always prints the same.
    writer.write_all(b"hello from the pipe")?;
    loop {
        let mut events = [EpollEvent::empty()];
        if epoll.wait(&mut events, EpollTimeout::NONE)? == 0 {
            continue;
        }
        match events[0].data() {
            PIPE => {
                let mut text = [0; 64];
                let len = reader.read(&mut text)?;
                println!("the pipe says: {}", String::from_utf8_lossy(&text[..len]));
                let in_a_moment = Expiration::OneShot(Duration::from_millis(1).into());
                timer.set(in_a_moment, TimerSetTimeFlags::empty())?;
            }
            TIMER => {
                timer.wait()?;
                println!("the timer says: now");
                thread::spawn(move || -> Result<()> {
                    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
                    connection.send(b"hello from a client", &mut []).map(drop)
                });
            }
            // Take until there is nothing more: that makes the descriptor unreadable again.
            _ => {
                while let Some(received) = channel.try_receive()? {
                    if let Received::Message(message) = received {
                        let text = message.read_vec(0, message.len())?;
                        println!("a client says: {}", String::from_utf8_lossy(&text));
                        return message.reply(0, b"");
                    }
                }
            }
        }
    }
}
