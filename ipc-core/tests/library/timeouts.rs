use std::{
    io::{IoSlice, IoSliceMut},
    time::Duration,
};

use ipc_core::{
    Channel, Received, Timeout,
    abi::{Errno, PulseCode},
};

use super::{
    in_time::{Try, until_in_time},
    support::{GIVE_UP, pair, serve_one},
};

const SOON: Duration = Duration::from_millis(20);

// covers: TMO-1
#[test]
fn every_form_of_send_gives_up_after_a_plain_duration() {
    let (_channel, connection) = pair();
    let expired = Err(Errno::ETIMEDOUT);
    assert_eq!(connection.send_timeout(b"a", &mut [], SOON), expired);
    let parts = [IoSlice::new(b"a"), IoSlice::new(b"b")];
    let mut room = [0; 4];
    let mut reply = [IoSliceMut::new(&mut room)];
    assert_eq!(
        connection.send_vectored_timeout(&parts, &mut reply, SOON),
        expired
    );
    let typed = connection.send_typed_timeout::<_, u64>(&1_u32, SOON);
    assert_eq!(typed, Err(Errno::ETIMEDOUT));
    for len in [10, 10_000] {
        let loan = connection.loan(len, 0).unwrap();
        let sent = connection.send_loan_timeout(loan, SOON);
        assert_eq!(sent.map(drop), Err(Errno::ETIMEDOUT), "{len} bytes");
    }
}

// covers: TMO-1
#[test]
fn a_loan_whose_timeout_covers_another_state_is_answered() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        std::thread::sleep(2 * SOON);
        message.reply(3, b"").unwrap();
    });
    let loan = connection.loan(1000, 0).unwrap();
    let patience = Timeout::send(Duration::from_secs(60));
    let reply = connection.send_loan_timeout(loan, patience).unwrap();
    assert_eq!(reply.reply().status, 3);
    server.join().unwrap();
}

/// Answers every message with `ERESTART`, `pause` after it came, until a pulse comes.
fn ask_for_each_again(channel: &Channel, pause: Duration) {
    while let Ok(Received::Message(message)) = channel.receive_timeout(GIVE_UP) {
        std::thread::sleep(pause);
        // A client that gave up is no longer blocked.
        let _ = message.error(Errno::ERESTART);
    }
}

// covers: TMO-1, RPL-3
#[test]
fn a_server_that_asks_for_the_message_again_and_again_does_not_make_the_time_longer() {
    let (channel, connection) = pair();
    std::thread::scope(|scope| {
        scope.spawn(|| ask_for_each_again(&channel, Duration::from_millis(1)));
        for timeout in [Timeout::all(SOON), Timeout::reply(SOON)] {
            let sent = connection.send_timeout(b"a", &mut [], timeout);
            assert_eq!(sent, Err(Errno::ETIMEDOUT));
            let loan = connection.loan(10_000, 0).unwrap();
            let sent = connection.send_loan_timeout(loan, timeout);
            assert_eq!(sent.map(drop), Err(Errno::ETIMEDOUT));
        }
        connection.send_pulse(None, PulseCode(1), 0).unwrap();
    });
}

// covers: TMO-1, RPL-3
#[test]
fn time_in_a_state_that_the_timeout_leaves_out_does_not_count_after_a_restart_either() {
    let (channel, connection) = pair();
    std::thread::scope(|scope| {
        // Both stays with the server are longer than the time, and the waits to be received are not.
        let serve = |sent: &Try<'_>| {
            let first = sent.received(&channel)?;
            std::thread::sleep(2 * sent.time);
            first.error(Errno::ERESTART).unwrap();
            let second = sent.received(&channel)?;
            std::thread::sleep(2 * sent.time);
            second.reply(4, b"").unwrap();
            Some(())
        };
        let (sent, ()) = until_in_time(scope, &connection, Timeout::send, serve);
        let answer = sent.client.join().unwrap();
        assert_eq!(answer.map(|reply| reply.status), Ok(4));
    });
}

// covers: TMO-2, RCV-4
#[test]
fn waiting_for_a_pulse_ends_too() {
    let (channel, connection) = pair();
    assert_eq!(channel.receive_pulse_timeout(SOON), Err(Errno::ETIMEDOUT));
    let code = PulseCode(1);
    connection.send_pulse(None, code, 9).unwrap();
    let pulse = channel.receive_pulse_timeout(Duration::ZERO).unwrap();
    assert_eq!((pulse.code, pulse.value), (code, 9));
}
