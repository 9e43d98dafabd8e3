//! A server in a thread of the test's own process, for the test programs that need no more than one.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use ipc_core::{
    Channel, Received,
    abi::{ChannelFlags, Chid, PulseCode},
};

/// Ends whoever serves.
pub(crate) const STOP: PulseCode = PulseCode(127);

/// Serves until it is dropped, which waits for its thread.
pub(crate) struct Serving {
    pub(crate) channel: Arc<Channel>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Starts a server that does `each` with whatever it receives.
    pub(crate) fn start(
        flags: ChannelFlags,
        each: impl Fn(&Channel, Received) + Send + 'static,
    ) -> Serving {
        Serving::run(flags, |channel| serve(channel, each))
    }

    /// Starts a server that receives by itself, and returns when a pulse of code [`STOP`] comes.
    pub(crate) fn run(
        flags: ChannelFlags,
        serve: impl FnOnce(&Channel) + Send + 'static,
    ) -> Serving {
        let channel = Arc::new(Channel::create(flags).expect("a channel can be made"));
        let serving = Arc::clone(&channel);
        Serving {
            channel,
            thread: Some(thread::spawn(move || serve(&serving))),
        }
    }

    pub(crate) fn chid(&self) -> Chid {
        self.channel.chid()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.channel.send_pulse(0, STOP, 0).expect("there is room");
        let ended = self.thread.take().expect("dropped once").join();
        if !thread::panicking() {
            ended.expect("no client makes the server panic");
        }
    }
}

/// Does `each` with whatever comes, until it is told to stop.
pub(crate) fn serve(channel: &Channel, each: impl Fn(&Channel, Received)) {
    loop {
        match channel.receive().expect("the channel lives") {
            Received::Pulse(pulse) if pulse.code == STOP => return,
            received => each(channel, received),
        }
    }
}
