//! What the tests do as the stranger: sessions, connections, calls.

use ipc_core::abi::io::{Connect as Walk, ConnectAnswer, Subtype};
use nix::sys::signal::Signal;
use tools::netlab::Lab;

use crate::clerk;
use crate::client::{Outcome, ToClient};
use crate::connect::Connect;
use crate::node::Node;
use crate::support::{lab, part, text};

pub(crate) const PEER: &str = "wintermute";
/// Bytes of a long message: many frames, grants, and more than may come unasked.
pub(crate) const LONG_LEN: usize = 300 << 10;
pub(crate) const CLIENT_PID: u32 = 4711;
pub(crate) const COID: u32 = 5;
/// Root, whom the labs' qnets take as such: pulses to a server of another user are dropped.
pub(crate) const UID: u32 = 0;
pub(crate) const GID: u32 = 100;
/// What the stranger calls wintermute.
pub(crate) const SRCND: u32 = 77;

/// A lab of wintermute, as ever, and of a node whose qnet is gone: the stranger takes its place.
pub(crate) fn lab_with_a_stranger(arguments: &[&str]) -> Option<Lab> {
    let nodes = ["--no-home", "--nodes", "wintermute,stranger"];
    let lab = lab(&[&nodes, arguments].concat())?;
    lab.kill("stranger", "qnet", Signal::SIGKILL)
        .expect("it runs");
    clerk::start(&lab, PEER);
    Some(lab)
}

/// Runs a part as the stranger.
pub(crate) fn run(lab: &Lab, name: &str) {
    print!("{}", text(&mut part(lab, "stranger", name)));
}

/// The stranger as its settings say.
pub(crate) fn stranger() -> Node {
    let mtu = std::env::var("MTU").map_or(1500, |mtu| mtu.parse().expect("a number"));
    let name = std::env::var("NAME").unwrap_or_else(|_| "stranger".to_owned());
    Node::new(&name, &["eth0"], mtu, std::env::var_os("SEALED").is_some())
}

/// Asks wintermute's process manager for the server, and makes a connection to it.
pub(crate) fn connect_to_clerk(node: &mut Node) -> u64 {
    let manager = connect_to(node, 1, 1);
    let name = format!("/dev/name/local/{}", clerk::NAME);
    let question = Walk::new(Subtype::Resolve, name.as_bytes())
        .encode()
        .expect("a path");
    let outcome = call(node, manager, &question, 4096);
    let Outcome::Reply {
        status,
        len,
        buffer,
    } = outcome
    else {
        panic!("the process manager does not know the name: {outcome:?}");
    };
    let answer = ConnectAnswer::parse(status, &buffer[..len]).expect("an answer");
    let ConnectAnswer::Redirect(redirect) = answer else {
        panic!("{answer:?}")
    };
    let server = &redirect.servers[0];
    connect_to(
        node,
        server.pid.0.cast_unsigned(),
        server.chid.0.cast_unsigned(),
    )
}

pub(crate) fn connect_to(node: &mut Node, server_pid: u32, server_chid: u32) -> u64 {
    node.session().client.connect(Connect {
        server_pid,
        server_chid,
        client_pid: CLIENT_PID,
        coid: COID,
        uid: UID,
        gid: GID,
        srcnd: SRCND,
        revision: 0,
        answers_back: false,
    })
}

/// A call and its outcome.
pub(crate) fn call(node: &mut Node, conn: u64, message: &[u8], reply_len: usize) -> Outcome {
    let call = begin(node, conn, message, reply_len);
    end(node, call)
}

pub(crate) fn begin(node: &mut Node, conn: u64, message: &[u8], reply_len: usize) -> u64 {
    let session = node.session();
    let capacity = session.capacity();
    let mut records = Vec::new();
    let call = session
        .client
        .call(conn, message, reply_len, capacity, &mut records);
    session.extend(records);
    call
}

pub(crate) fn end(node: &mut Node, call: u64) -> Outcome {
    node.until("the outcome of a call", |node| {
        node.session().client.take_outcome(call)
    })
}

/// A call that the server answers with its bytes turned over.
pub(crate) fn echo(node: &mut Node, conn: u64, len: usize) {
    let message: Vec<u8> = b"echo"
        .iter()
        .copied()
        .chain((0..len).map(|at| (at % 253) as u8))
        .collect();
    let turned: Vec<u8> = message.iter().map(|byte| !byte).collect();
    let outcome = call(node, conn, &message, message.len());
    let Outcome::Reply {
        status,
        len,
        buffer,
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!((status, len), (message.len() as i64, message.len()));
    assert!(buffer == turned, "every byte turned over");
}

/// How often the server did what must be done once.
pub(crate) fn ticks(node: &mut Node, conn: u64) -> i64 {
    match call(node, conn, b"tock", 0) {
        Outcome::Reply { status, .. } => status,
        outcome => panic!("{outcome:?}"),
    }
}

/// The pulses that the server got since it was last asked: codes, and the values of those that programs send.
pub(crate) fn pulses(node: &mut Node, conn: u64) -> Vec<(i8, i64)> {
    let outcome = call(node, conn, b"puls", 4096);
    let Outcome::Reply { len, buffer, .. } = outcome else {
        panic!("{outcome:?}")
    };
    let value = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight"));
    buffer[..len]
        .chunks(9)
        .map(|pulse| (pulse[0].cast_signed(), value(&pulse[1..])))
        .collect()
}

/// The values of the pulses to the client that have this code, so far.
pub(crate) fn pulses_to(node: &mut Node, conn: u64, code: i8) -> Vec<i64> {
    let events = node.session().client.events.iter();
    events
        .filter_map(|event| match event {
            ToClient::Pulse {
                conn: of,
                code: its,
                value,
            } if (*of, *its) == (conn, code) => Some(*value),
            _ => None,
        })
        .collect()
}
