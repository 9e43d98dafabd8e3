//! The real side of the tests: a server, and a client, of the project's own library beside a real qnet.

use std::time::Duration;

use ipc_core::abi::{ChannelFlags, Credentials, Errno, EventHandle, PulseCode, Rcvid};
use ipc_core::proc::{NameScope, name_attach, name_open};
use ipc_core::{Channel, Connection, Received, ReceivedMessage, Timeout};
use qnet::daemon::notify_ready;
use tools::netlab::Lab;

use crate::{node::PATIENCE, support::setting};

/// The server's name on its node.
pub(crate) const NAME: &str = "clerk";
/// What a message to the server begins with: this many bytes say what it is to do.
pub(crate) const VERB_LEN: usize = 4;

/// How long the server is deaf when it is told to be.
const NAP: Duration = Duration::from_millis(200);

/// Starts the server on a node.
pub(crate) fn start(lab: &Lab, node: &str) {
    let own = std::env::current_exe().expect("the kernel knows what it runs");
    let own = own.display().to_string();
    let arguments = [
        "--exact",
        "clerk::part_clerk",
        "--ignored",
        "--nocapture",
        "--quiet",
    ];
    let command = [own]
        .into_iter()
        .chain(arguments.map(str::to_owned))
        .collect();
    lab.serve(node, NAME, command).expect("it serves");
}

#[test]
#[ignore = "run by the tests here as a daemon of wintermute: does what messages say"]
fn part_clerk() {
    let flags = ChannelFlags::UNBLOCK | ChannelFlags::DISCONNECT;
    let channel = Channel::create(flags).expect("a channel");
    let registered = || name_attach(NAME, &channel, NameScope::Local).ok();
    let _registration = crate::support::until(registered);
    notify_ready(NAME);
    let mut clerk = Clerk::default();
    loop {
        match channel.receive().expect("it is our channel") {
            Received::Message(message) => clerk.serve(message),
            Received::Pulse(pulse) => {
                let (code, value) = (pulse.code, pulse.value);
                clerk.pulses.extend(code.0.to_le_bytes());
                clerk
                    .pulses
                    .extend(if code.is_application() { value } else { 0 }.to_le_bytes());
                if code == PulseCode::UNBLOCK {
                    clerk.held.retain(|id| *id != Rcvid(value));
                    // A client whose session ended may have gone since the pulse.
                    let let_out = channel.error(Rcvid(value), Errno::EINTR);
                    assert!(matches!(let_out, Ok(()) | Err(Errno::ESRCH)), "{let_out:?}");
                }
                if code == PulseCode::DISCONNECT {
                    channel.detach_client(pulse.scoid).expect("it has gone");
                }
            }
        }
    }
}

#[derive(Default)]
struct Clerk {
    ticks: i64,
    /// Code and value of each pulse.
    pulses: Vec<u8>,
    held: Vec<Rcvid>,
}

impl Clerk {
    fn serve(&mut self, message: ReceivedMessage) {
        let bytes = message
            .read_vec(0, message.len())
            .expect("the client waits");
        let (verb, rest) = bytes.split_at(VERB_LEN);
        let answered = match verb {
            b"echo" => {
                let turned: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
                message.reply(bytes.len() as i64, &turned)
            }
            b"tick" => {
                self.ticks += 1;
                message.reply(0, &[])
            }
            b"tock" => message.reply(self.ticks, &[]),
            b"fail" => message.error(Errno::EROFS),
            b"hold" => {
                self.held.push(message.into_rcvid());
                Ok(())
            }
            b"nap!" => {
                std::thread::sleep(NAP);
                message.reply(0, &[])
            }
            b"die!" => std::process::exit(0),
            b"puls" => message.reply(0, &std::mem::take(&mut self.pulses)),
            b"hole" => {
                // Two extents with nothing between them.
                message.write(8, b"behind").expect("there is room");
                message.reply(7, b"front")
            }
            b"even" => {
                let handle = EventHandle::from_bytes(rest.try_into().expect("a handle"));
                message
                    .event_port()
                    .deliver(handle)
                    .expect("the client takes it");
                message.reply(0, &[])
            }
            b"who?" => {
                let (info, Credentials { uid, gid }) =
                    (message.info(), message.client().credentials);
                let numbers = [info.pid.0, info.tid.0, info.coid.0, info.priority.into()];
                let numbers =
                    numbers
                        .map(i32::cast_unsigned)
                        .into_iter()
                        .chain([uid, gid, info.srcnd.0]);
                let reply: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
                message.reply(0, &reply)
            }
            _ => message.error(Errno::ENOSYS),
        };
        answered.expect("the client waits");
    }
}

#[test]
#[ignore = "run by the tests here as the part of wintermute: a client of the stranger"]
fn part_visitor() {
    let names = format!("{}/dev/name/local", setting("TARGET"));
    let refused = name_open(&format!("{names}/nobody"), NameScope::Local);
    assert_eq!(
        refused.err(),
        Some(Errno::ENOENT),
        "the stranger knows no such name"
    );
    let path = format!("{names}/oracle");
    let connection = name_open(&path, NameScope::Local).expect("the stranger says where it is");
    call(&connection, b"echo, small", 11);
    let large: Vec<u8> = (0..300u32 << 10).map(|at| (at % 251) as u8).collect();
    call(
        &connection,
        &[b"echo", large.as_slice()].concat(),
        large.len() + 4,
    );
    // The server has answered before: most of it goes unasked.
    call(
        &connection,
        &[b"echo", large.as_slice()].concat(),
        large.len() + 4,
    );
    let failed = connection.send(b"fail", &mut [0; 8]);
    assert_eq!(failed.err(), Some(Errno::EROFS));
    for value in 0..5 {
        connection
            .send_pulse(Some(10), PulseCode(3), value)
            .expect("there is room");
    }
    connection
        .send(b"puls", &mut [])
        .expect("it answers after the pulses");
    let short = Duration::from_millis(100);
    for timeout in [Timeout::all, Timeout::reply] {
        let mut time = short;
        let held = loop {
            match connection.send_timeout(b"hold", &mut [0; 8], timeout(time)) {
                // It was over before the stranger received the message.
                Err(Errno::ETIMEDOUT) if time < PATIENCE => time *= 2,
                held => break held,
            }
        };
        assert_eq!(
            held.err(),
            Some(Errno::EINTR),
            "the answer to the unblock request"
        );
    }
    let withdrawn = connection.send_timeout(b"deaf", &mut [0; 8], Timeout::send(short));
    assert_eq!(
        withdrawn.err(),
        Some(Errno::ETIMEDOUT),
        "nobody receives it"
    );
    connection.detach();
}

fn call(connection: &Connection, message: &[u8], reply_len: usize) {
    let mut reply = vec![0; reply_len + 1];
    let answer = connection
        .send(message, &mut reply)
        .expect("the stranger answers");
    assert_eq!(answer.status, message.len() as i64);
    let turned = message.iter().map(|byte| !byte);
    assert!(
        reply[..reply_len].iter().copied().eq(turned),
        "every byte turned over"
    );
}
