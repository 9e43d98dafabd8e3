use std::sync::Arc;

use ipc_core::{Channel, Connection, abi::Errno};

use super::support::{pair, serve_one};

const LEN: usize = 1 << 20;

/// Sends a message of which nothing was written, and answers what the server found in it.
fn found_unwritten(connection: &Connection, channel: &Arc<Channel>) -> Vec<u8> {
    let server = serve_one(channel, |message| {
        let found = message.read_vec(0, LEN).unwrap();
        message.reply(0, &found).unwrap();
    });
    let loan = connection.loan(LEN, LEN).unwrap();
    let reply = connection.send_loan(loan).unwrap();
    let mut found = vec![7; LEN];
    assert_eq!(reply.read(0, &mut found), LEN);
    server.join().unwrap();
    found
}

#[test]
fn memory_of_long_messages_is_given_back_when_none_is_under_way_and_is_new_for_the_next() {
    let (channel, connection) = pair();
    assert_eq!((connection.kept_len(), connection.give_back()), (0, Ok(())));
    let mut loan = connection.loan(LEN, LEN).unwrap();
    assert_eq!(loan.write(0, &[1; LEN]), LEN);
    assert_eq!(connection.give_back(), Err(Errno::EAGAIN));
    drop(loan);
    assert_eq!(connection.kept_len(), 2 * LEN);
    let server = serve_one(&channel, |message| message.reply(0, b"").unwrap());
    assert!(connection.send(&[1; LEN], &mut []).is_ok());
    server.join().unwrap();
    assert!(found_unwritten(&connection, &channel) == [1; LEN]);

    assert_eq!(connection.give_back(), Ok(()));
    assert_eq!(connection.kept_len(), 0);
    assert!(found_unwritten(&connection, &channel) == [0; LEN]);
    assert_eq!(connection.kept_len(), 2 * LEN);
    drop(channel);
    while connection.is_alive() {
        std::thread::yield_now();
    }
    assert_eq!(connection.give_back(), Err(Errno::EBADF));
}
