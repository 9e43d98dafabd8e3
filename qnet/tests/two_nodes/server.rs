//! The stand-in for a process manager, which each node has.

use ipc_core::{
    Alias, Channel, Received, ReceivedMessage,
    abi::{
        ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Rcvid,
        io::{Connect, Redirect, RedirectServer},
        proc::{PrefixFlags, ProcMessage, RegistrationId, message_type, peek_type},
    },
    claim_alias,
};

/// Plays the process manager: takes registrations, echoes everything else. Its second channel keeps
/// clients that want out until it has answered.
#[test]
#[ignore = "a role in the tests of two nodes"]
fn role_server() {
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    claim_alias(Alias::ProcessManager).unwrap();
    let stubborn = Channel::create(ChannelFlags::UNBLOCK).unwrap();
    std::thread::spawn(move || be_stubborn(&stubborn));
    println!("ready: server");
    let mut seen = Seen::default();
    loop {
        match channel.receive().unwrap() {
            Received::Message(message) => serve(message, &mut seen),
            Received::Pulse(pulse) if pulse.code.is_application() => {
                seen.pulsed.push(pulse.value);
            }
            Received::Pulse(pulse) => {
                seen.gone += 1;
                channel.detach_client(pulse.scoid).unwrap();
            }
        }
    }
}

/// Answers nobody before it wants out, and then with a status.
fn be_stubborn(channel: &Channel) {
    loop {
        match channel.receive().unwrap() {
            Received::Message(message) => drop(message.into_rcvid()),
            Received::Pulse(pulse) => {
                assert_eq!(pulse.code, PulseCode::UNBLOCK);
                channel.reply(Rcvid(pulse.value), 77, b"after all").unwrap();
            }
        }
    }
}

/// What the stand-in for a process manager remembers.
#[derive(Default)]
struct Seen {
    /// Clients that have gone.
    gone: i64,
    /// Messages that were received and are never answered.
    kept: i64,
    /// The values of the pulses that came.
    pulsed: Vec<i64>,
    /// Who registered `/net`.
    net: Option<(Pid, Chid)>,
}

/// Sends a client that asks for something below `/net` on to who registered it.
fn redirect(message: ReceivedMessage, connect: &Connect<'_>, net: Option<(Pid, Chid)>) {
    let answered = match net {
        Some((pid, chid)) if connect.path.starts_with(b"/net") => {
            let server = RedirectServer {
                nd: Nd::LOCAL,
                pid,
                chid,
                handle: 0,
                flags: PrefixFlags::DIR.bits(),
                prefix_len: b"/net".len(),
                node_name: None,
            };
            let (servers, path) = (vec![server], connect.path.to_vec());
            let bytes = Redirect { servers, path }.encode().unwrap();
            message.reply(Redirect::STATUS, &bytes)
        }
        _ => message.error(Errno::ENOENT),
    };
    answered.unwrap();
}

fn serve(message: ReceivedMessage, seen: &mut Seen) {
    let bytes = message.read_vec(0, message.len()).unwrap();
    if let Ok(connect) = Connect::parse(&bytes) {
        return redirect(message, &connect, seen.net);
    }
    if let Ok(ProcMessage::Register(register)) = ProcMessage::parse(&bytes) {
        seen.net = Some((message.client().pid, register.chid));
    }
    let (gone, pulsed) = (seen.gone, format!("{:?}", seen.pulsed));
    let _ = match (peek_type(&bytes), bytes.as_slice()) {
        (Ok(message_type::REGISTER), _) => message.reply(0, &RegistrationId(1).to_reply()),
        (_, b"who am I?") => {
            let client = message.client();
            let answer = format!("{} {} {}", client.nd, client.pid, client.credentials.uid);
            message.reply(0, answer.as_bytes())
        }
        (_, b"whose?") => {
            let answer = format!("{} {}", Pid::current(), message.client().nd);
            message.reply(0, answer.as_bytes())
        }
        (_, b"which pulses?") => message.reply(0, pulsed.as_bytes()),
        (_, b"how many have gone?") => message.reply(gone, b""),
        (_, b"how many are kept?") => message.reply(seen.kept, b""),
        (_, b"in pieces") => {
            message.write(20, b"later").unwrap();
            message.write(8, b"before").unwrap();
            message.reply(3, b"now")
        }
        (_, b"fail") => message.error(Errno::ENOSPC),
        (_, b"never") => {
            message.into_rcvid();
            seen.kept += 1;
            Ok(())
        }
        _ => message.reply(bytes.len() as i64, &bytes),
    };
}
