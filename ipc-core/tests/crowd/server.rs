//! A server in a thread.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use ipc_core::{
    Channel, Received,
    abi::{ChannelFlags, Chid, PulseCode},
};

const STOP: PulseCode = PulseCode(127);

/// Echoes until it is dropped.
pub(crate) struct Server {
    channel: Arc<Channel>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let channel = Channel::create(ChannelFlags::empty()).expect("a channel can be made");
        let channel = Arc::new(channel);
        let serving = Arc::clone(&channel);
        Server {
            channel,
            thread: Some(thread::spawn(move || serve(&serving))),
        }
    }

    pub(crate) fn chid(&self) -> Chid {
        self.channel.chid()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.channel.send_pulse(0, STOP, 0).expect("there is room");
        let ended = self.thread.take().expect("dropped once").join();
        if !thread::panicking() {
            ended.expect("the server does not panic");
        }
    }
}

fn serve(channel: &Channel) {
    loop {
        match channel.receive().expect("the channel lives") {
            Received::Message(message) => {
                // A client that was killed in between is no longer blocked.
                if let Ok(bytes) = message.read_vec(0, message.len()) {
                    let _ = message.reply(0, &bytes);
                }
            }
            Received::Pulse(pulse) if pulse.code == STOP => return,
            Received::Pulse(_) => {}
        }
    }
}
