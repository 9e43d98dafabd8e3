//! Sends that give up.

use std::{thread, time::Duration};

use ipc_core::{
    Timeout,
    abi::{ChannelFlags, Errno, PulseCode},
};

use crate::{
    in_time::received_in_time,
    support::{channel, message, pulse},
};

// covers: TMO-1, TMO-2
#[test]
fn a_timeout_withdraws_a_message_nobody_received() {
    let (channel, connection) = channel(ChannelFlags::UNBLOCK);
    let soon = Duration::from_millis(20);
    assert_eq!(
        connection.send_timeout(b"", &mut [], Timeout::all(soon)),
        Err(Errno::ETIMEDOUT)
    );
    assert_eq!(
        connection.send_timeout(b"", &mut [], Timeout::send(soon)),
        Err(Errno::ETIMEDOUT)
    );
    assert!(
        channel.try_receive().unwrap().is_none(),
        "no message and no pulse is left"
    );
}

// covers: CHN-2, TMO-1
#[test]
fn without_the_unblock_flag_a_reply_timeout_returns_at_once() {
    let (channel, connection) = channel(ChannelFlags::empty());
    let connection = &connection;
    thread::scope(|scope| {
        for timeout in [Timeout::all, Timeout::reply] {
            let (client, held, _) = received_in_time(scope, connection, &channel, timeout);
            assert_eq!(client.join().unwrap(), Err(Errno::ETIMEDOUT));
            assert_eq!(held.reply(0, b""), Err(Errno::ESRCH));
        }
    });
}

// covers: CHN-2, TMO-3
#[test]
fn with_the_unblock_flag_the_server_decides_even_after_the_timeout() {
    let (channel, connection) = channel(ChannelFlags::UNBLOCK);
    let connection = &connection;
    thread::scope(|scope| {
        let patient = scope.spawn(|| connection.send(b"", &mut []));
        let held = message(channel.receive().unwrap());
        assert!(!held.info().unblock_requested);
        held.reply(41, b"").unwrap();
        assert_eq!(patient.join().unwrap().unwrap().status, 41);

        let (client, held, _) = received_in_time(scope, connection, &channel, Timeout::all);
        let pulse = pulse(channel.receive().unwrap());
        assert_eq!(
            (pulse.code, pulse.value),
            (PulseCode::UNBLOCK, held.rcvid().0)
        );
        assert!(held.info().unblock_requested);
        held.reply(42, b"").unwrap();
        assert_eq!(client.join().unwrap().unwrap().status, 42);
    });
}

// covers: TMO-1
#[test]
fn a_send_timeout_does_not_cover_the_time_after_the_receive() {
    let (channel, connection) = channel(ChannelFlags::empty());
    let connection = &connection;
    thread::scope(|scope| {
        let (client, held, time) = received_in_time(scope, connection, &channel, Timeout::send);
        thread::sleep(3 * time);
        held.reply(1, b"").unwrap();
        assert_eq!(client.join().unwrap().unwrap().status, 1);
    });
}
