//! What the two sides do, so that every failpoint is passed.

use std::{ops::Deref, thread, time::Duration};

use ipc_core::{
    Channel, Connection, Received, Reply, Timeout,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Result},
};

use crate::{
    child::{self, say},
    serving::{self, STOP, Serving},
    side::Mortal,
};

/// Asks the server not to answer.
const SILENCE: &[u8] = b"say nothing";

/// A server that lives.
pub(crate) struct Server(Serving);

impl Server {
    pub(crate) fn start() -> Server {
        Server(Serving::start(ChannelFlags::DISCONNECT, echo))
    }

    pub(crate) fn must_serve(&self) {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, self.chid());
        do_everything(&connection.expect("it accepts")).expect("it lives");
    }
}

impl Deref for Server {
    type Target = Serving;

    fn deref(&self) -> &Serving {
        &self.0
    }
}

/// Echoes, in two pieces.
fn echo(channel: &Channel, received: Received) {
    match received {
        Received::Message(message) => {
            let bytes = message.read_vec(0, message.len()).unwrap_or_default();
            if bytes == SILENCE {
                message.into_rcvid();
                return;
            }
            // A client that died in between is no longer blocked.
            let _ = message.write(bytes.len() / 2, &bytes[bytes.len() / 2..]);
            let _ = message.reply(1, &bytes);
        }
        Received::Pulse(pulse) if pulse.code == PulseCode::DISCONNECT => {
            channel.detach_client(pulse.scoid).expect("it is gone");
        }
        Received::Pulse(_) => {}
    }
}

/// All that can be done with a connection: messages short and long, one that is given up, a pulse.
fn do_everything(connection: &Connection) -> Result<()> {
    for len in [5, 90, 5000] {
        let (message, mut reply) = (vec![len as u8; len], vec![0; len]);
        connection.send(&message, &mut reply)?;
        assert_eq!(reply, message);
    }
    // Long enough a pause for the other side to be asleep when the next message comes.
    thread::sleep(Duration::from_millis(20));
    connection.send_pulse(None, PulseCode(5), 0)?;
    let soon = Timeout::all(Duration::from_millis(5));
    match connection.send_timeout(SILENCE, &mut [], soon) {
        Err(Errno::ETIMEDOUT) => Ok(()),
        other => other.map(drop),
    }
}

#[test]
#[ignore = "run by inside_a_survivor, to die"]
fn inside_a_client() {
    let chid = Chid(child::argument().parse().expect("a number"));
    for _ in 0..2 {
        let connection = Connection::attach(Nd::LOCAL, child::parent(), chid).expect("it lives");
        do_everything(&connection).expect("the server lives");
    }
}

/// Uses a server until it has died or ended; nothing but its end may come in between.
pub(crate) fn use_until_it_dies(server: &mut Mortal) {
    let Some(chid) = server.said() else {
        return;
    };
    let chid = Chid(chid.parse().expect("a channel id"));
    let pid = server.pid();
    thread::scope(|scope| {
        // One that is blocked all the time, whatever else happens.
        let blocked = scope.spawn(move || -> Result<Reply> {
            Connection::attach(Nd::LOCAL, pid, chid)?.send(SILENCE, &mut [])
        });
        let used = (0..2).try_for_each(|_| {
            let connection = Connection::attach(Nd::LOCAL, pid, chid)?;
            do_everything(&connection)?;
            let [blocked, idle] = [b"x".as_slice(), b""];
            connection.send(blocked, &mut [0])?;
            connection.send(idle, &mut []).map(drop)
        });
        if used.is_ok() {
            // It was not killed so far: its own end comes when it is told.
            let last = Connection::attach(Nd::LOCAL, pid, chid);
            let told = last.and_then(|last| last.send_pulse(None, STOP, 0));
            assert!(told.is_ok() || told.is_err_and(is_death));
        }
        let [used, blocked] = [used, blocked.join().expect("no panic").map(drop)];
        assert!(used.is_ok() || used.is_err_and(is_death), "{used:?}");
        assert!(blocked.is_err_and(is_death), "{blocked:?}");
    });
}

/// What a client may see of a server that died while it was used, or before.
pub(crate) fn is_death(error: Errno) -> bool {
    [Errno::ESRCH, Errno::EBADF].contains(&error)
}

#[test]
#[ignore = "run by inside_a_survivor, to die"]
fn inside_a_server() {
    let channel = Channel::create(ChannelFlags::DISCONNECT).expect("a channel can be made");
    say(channel.chid());
    serving::serve(&channel, echo);
    drop(channel);
}

#[test]
#[ignore = "run by inside_a_survivor"]
fn inside_a_next_server() {
    let server = Server::start();
    say(server.chid());
    child::wait_for_parent();
}
