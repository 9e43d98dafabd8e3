//! The server that is attacked, and the honest client beside the attacker.

use std::ops::Deref;

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Nd, Pid},
};

use crate::serving::Serving;

/// Echoes messages, and reads and writes at every edge of each before it does.
pub(crate) struct Server(Serving);

impl Server {
    pub(crate) fn start() -> Server {
        Server(Serving::start(ChannelFlags::empty(), serve))
    }

    /// Attaches an honest client and has it served.
    pub(crate) fn must_serve(&self) {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, self.chid());
        must_echo(&connection.expect("the server still accepts"), 1);
    }

    pub(crate) fn faults(&self) -> u64 {
        self.channel.stats().faults
    }
}

impl Deref for Server {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.0
    }
}

/// Sends messages of several sizes, which must come back as they are.
pub(crate) fn must_echo(connection: &Connection, salt: u8) {
    for len in [0, 5, 80, 81, 3000] {
        let message: Vec<u8> = (0..len).map(|at| at as u8 ^ salt).collect();
        let mut reply = vec![0; len];
        let answer = connection
            .send(&message, &mut reply)
            .expect("it is answered");
        assert_eq!((answer.status, answer.len), (len as i64, len));
        assert!(reply == message, "an honest client's bytes were changed");
    }
}

fn serve(_: &Channel, received: Received) {
    let Received::Message(message) = received else {
        return;
    };
    let len = message.len();
    // A client that was cut off in between is no longer blocked: that is its own affair.
    let bytes = message.read_vec(0, usize::MAX).unwrap_or_default();
    let _ = message.read(len.saturating_sub(1), &mut [0; 9]);
    let _ = message.write(message.reply_len_max().saturating_sub(1), b"?");
    let _ = message.info();
    let _ = message.reply(bytes.len() as i64, &bytes);
}
