//! What goes through a connection and comes back: bytes of any length, parts, errors, loans.

use std::{
    io::{IoSlice, IoSliceMut},
    thread,
};

use ipc_core::{
    abi::{ChannelFlags, Errno, Pid},
    priority,
};

use crate::support::{channel, echo, message, stop};

// covers: SND-1, SND-6, RPL-1
#[test]
fn every_size_comes_back_as_it_was_sent() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        for len in [0, 1, 79, 80, 81, 96, 97, 4096, 100_000, 1 << 20, 16 << 20] {
            let sent: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
            let mut reply = vec![0; len];
            let got = connection.send(&sent, &mut reply).unwrap();
            assert_eq!((got.status, got.len), (len as i64, len));
            assert!(reply == sent, "{len} bytes");
        }
        let mut short = [0; 3];
        assert_eq!(connection.send(b"abcdef", &mut short).unwrap().len, 3);
        assert_eq!(&short, b"abc");
        assert_eq!(
            connection.send(&vec![0; (16 << 20) + 1], &mut []),
            Err(Errno::EMSGSIZE)
        );
        stop(&channel);
    });
}

// covers: SND-3, RCV-2
#[test]
fn many_threads_share_a_connection_and_a_channel() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        let servers: Vec<_> = (0..4).map(|_| scope.spawn(|| echo(&channel))).collect();
        let clients: Vec<_> = (0..50_u64)
            .map(|client| {
                let connection = &connection;
                scope.spawn(move || {
                    for round in 0..200_u64 {
                        let sent = [client.to_le_bytes(), round.to_le_bytes()].concat();
                        let mut reply = [0; 16];
                        connection.send(&sent, &mut reply).unwrap();
                        assert_eq!(reply[..], sent[..]);
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .for_each(|client| client.join().unwrap());
        servers.iter().for_each(|_| stop(&channel));
    });
}

// covers: SND-4
#[test]
fn parts_may_differ_in_number_on_the_two_sides_and_be_empty() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        let parts = [
            IoSlice::new(b"ab"),
            IoSlice::new(b""),
            IoSlice::new(b"cdefgh"),
        ];
        let (mut one, mut two) = ([0; 5], [0; 9]);
        let mut reply = [
            IoSliceMut::new(&mut one),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut two),
        ];
        assert_eq!(connection.send_vectored(&parts, &mut reply).unwrap().len, 8);
        assert_eq!((&one, &two[..3]), (b"abcde", &b"fgh"[..]));
        stop(&channel);
    });
}

// covers: RCV-3, RCV-6, SND-7, RPL-4, RPL-5
#[test]
fn a_message_is_read_and_its_reply_written_at_any_offset_any_number_of_times() {
    let (channel, connection) = channel(ChannelFlags::empty());
    for len in [20, 5000] {
        thread::scope(|scope| {
            let connection = &connection;
            let client = scope.spawn(move || {
                let sent: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let mut reply = vec![0xee; len];
                let got = connection.send(&sent, &mut reply).unwrap();
                (got, reply)
            });
            let message = message(channel.receive().unwrap());
            let info = message.info();
            assert_eq!((info.srcmsglen, info.dstmsglen), (len, len));
            assert_eq!((info.pid, info.chid), (Pid::current(), channel.chid()));
            assert_eq!((info.coid, info.priority), (connection.coid(), priority()));
            let id = message.into_rcvid();
            assert!(id.0 > 0);
            assert_eq!(channel.info(id).unwrap().tid, info.tid);
            let mut two = [0; 2];
            for _ in 0..2 {
                assert_eq!(channel.read(id, len - 1, &mut two), Ok(1));
                assert_eq!(two[0], (len - 1) as u8);
            }
            assert_eq!(channel.read(id, len, &mut two), Ok(0));
            assert_eq!(channel.write(id, 8, b"written"), Ok(7));
            assert_eq!(channel.write(id, len - 1, b"past"), Ok(1));
            assert_eq!(channel.write(id, len, b"past"), Ok(0));
            channel.reply(id, 3, b"").unwrap();
            assert_eq!(channel.info(id), Err(Errno::ESRCH));
            assert_eq!(channel.reply(id, 3, b""), Err(Errno::ESRCH));
            let (got, reply) = client.join().unwrap();
            assert_eq!((got.status, got.len), (3, len));
            assert_eq!(&reply[8..15], b"written");
            assert_eq!((reply[0], reply[len - 1]), (0xee, b'p'));
        });
    }
}

// covers: RPL-3, RPL-6
#[test]
fn errors_reach_the_sender_and_a_dropped_message_is_an_error() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| {
            message(channel.receive().unwrap())
                .error(Errno::ENOSPC)
                .unwrap();
            message(channel.receive().unwrap()).error(Errno(0)).unwrap();
            message(channel.receive().unwrap())
                .error(Errno::ERESTART)
                .unwrap();
            message(channel.receive().unwrap()).reply(9, b"").unwrap();
            drop(channel.receive().unwrap());
            assert_eq!(channel.stats().dropped_unanswered, 1);
        });
        assert_eq!(connection.send(b"", &mut []), Err(Errno::ENOSPC));
        assert_eq!(connection.send(b"", &mut []).unwrap().status, 0);
        assert_eq!(connection.send(b"", &mut []).unwrap().status, 9);
        assert_eq!(connection.send(b"", &mut []), Err(Errno::EIO));
    });
}

#[test]
fn a_loan_is_sent_and_its_reply_read_in_place() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        scope.spawn(|| echo(&channel));
        for len in [10, 10_000] {
            let mut loan = connection.loan(len, len).unwrap();
            loan.write(3, b"in place");
            let reply = connection.send_loan(loan).unwrap();
            let mut bytes = vec![0; len];
            assert_eq!(reply.read(0, &mut bytes), len);
            assert_eq!(&bytes[3..10], b"in plac");
        }
        stop(&channel);
    });
}
