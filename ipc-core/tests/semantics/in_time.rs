//! Sends whose time is short, and long enough for the message to be received.
//!
//! How long a receive takes is the machine's to say: a time that was too short shows nothing and is doubled.

use std::{
    thread::{Scope, ScopedJoinHandle},
    time::Duration,
};

use ipc_core::{
    Channel, Connection, Received, ReceivedMessage, Reply, Timeout,
    abi::{Errno, Result},
};

/// The time of the first try.
const SHORT: Duration = Duration::from_millis(20);

/// A message that is not received within this much was withdrawn for another reason.
const LONG: Duration = Duration::from_secs(60);

/// How long to look for a message before looking whether its client has left.
const LOOK: Duration = Duration::from_millis(1);

/// What a client waits with.
pub(crate) type Client<'scope> = ScopedJoinHandle<'scope, Result<Reply>>;

/// A send of one byte, the number of the try, and the time that it has.
pub(crate) struct Try<'scope> {
    pub(crate) client: Client<'scope>,
    pub(crate) time: Duration,
    number: u8,
}

impl<'scope> Try<'scope> {
    fn start(
        scope: &'scope Scope<'scope, '_>,
        connection: &'scope Connection,
        number: u8,
        timeout: &impl Fn(Duration) -> Timeout,
    ) -> Try<'scope> {
        let time = SHORT * (1 << number);
        assert!(time < LONG, "not received within {time:?}");
        let timeout = timeout(time);
        let client = scope.spawn(move || connection.send_timeout(&[number], &mut [], timeout));
        Try {
            client,
            time,
            number,
        }
    }

    /// The try's message, unless its client leaves before it is received.
    pub(crate) fn received(&self, channel: &Channel) -> Option<ReceivedMessage> {
        while !self.client.is_finished() {
            match channel.receive_timeout(LOOK) {
                Ok(Received::Message(message))
                    if message.read_vec(0, 1) == Ok(vec![self.number]) =>
                {
                    return Some(message);
                }
                // Or one whose client has left: nobody waits for its answer.
                Ok(Received::Message(_)) | Err(Errno::ETIMEDOUT) => {}
                other => panic!("not a message: {other:?}"),
            }
        }
        None
    }
}

/// Sends again and again, with more time each time, until `serve` made something of a try. Where a message was not
/// received in time, `serve` answers `None`, and its client was told.
pub(crate) fn until_in_time<'scope, T>(
    scope: &'scope Scope<'scope, '_>,
    connection: &'scope Connection,
    timeout: impl Fn(Duration) -> Timeout,
    serve: impl Fn(&Try<'scope>) -> Option<T>,
) -> (Try<'scope>, T) {
    for number in 0.. {
        let sent = Try::start(scope, connection, number, &timeout);
        if let Some(served) = serve(&sent) {
            return (sent, served);
        }
        let left = sent.client.join().expect("no panic");
        assert_eq!(left, Err(Errno::ETIMEDOUT), "it was not received");
    }
    unreachable!("a try that has too much time fails")
}

/// A message that was received before the timeout of its send was over, and its client.
pub(crate) fn received_in_time<'scope>(
    scope: &'scope Scope<'scope, '_>,
    connection: &'scope Connection,
    channel: &Channel,
    timeout: impl Fn(Duration) -> Timeout,
) -> (Client<'scope>, ReceivedMessage, Duration) {
    let serve = |sent: &Try<'scope>| sent.received(channel);
    let (sent, message) = until_in_time(scope, connection, timeout, serve);
    (sent.client, message, sent.time)
}
