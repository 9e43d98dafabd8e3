use std::io::{IoSlice, IoSliceMut};

use ipc_core::abi::Errno;

use super::support::{pair, serve_one};

// covers: SND-4, RPL-1
#[test]
fn parts_need_not_be_the_same_on_the_two_sides() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        let (mut first, mut rest) = ([0; 3], [0; 100]);
        let mut parts = [
            IoSliceMut::new(&mut first),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut rest),
        ];
        let len = message.read_vectored(1, &mut parts).unwrap();
        let answer = [
            IoSlice::new(b""),
            IoSlice::new(&first),
            IoSlice::new(&rest[..len - 3]),
        ];
        message.reply_vectored(len as i64, &answer).unwrap();
    });
    let message = [
        IoSlice::new(b"ab"),
        IoSlice::new(b""),
        IoSlice::new(b"cdefg"),
    ];
    let (mut left, mut right) = ([0; 4], [0; 4]);
    let mut reply = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
    let got = connection.send_vectored(&message, &mut reply).unwrap();
    assert_eq!((got.status, got.len), (6, 6));
    assert_eq!((&left, &right[..2]), (b"bcde", &b"fg"[..]));
    server.join().unwrap();
}

// covers: RPL-4
#[test]
fn written_parts_stop_at_the_end_of_the_reply_buffer() {
    let (channel, connection) = pair();
    for room in [0, 5, 200] {
        let server = serve_one(&channel, move |message| {
            let long = vec![7; 150];
            let parts = [IoSlice::new(b"xy"), IoSlice::new(&long)];
            let written = message.write_vectored(1, &parts).unwrap();
            let id = message.into_rcvid();
            (id, written)
        });
        let answering = std::thread::spawn({
            let channel = channel.clone();
            move || {
                let (id, written) = server.join().unwrap();
                let mut back = [0; 2];
                let mut parts = [IoSliceMut::new(&mut back)];
                assert_eq!(channel.read_vectored(id, 2, &mut parts), Ok(1));
                assert_eq!(back[0], b'!');
                assert_eq!(channel.reply_vectored(id, -1, &[]), Err(Errno::EINVAL));
                channel
                    .reply_vectored(id, 0, &[IoSlice::new(b"z")])
                    .unwrap();
                assert_eq!(channel.reply_vectored(id, 0, &[]), Err(Errno::ESRCH));
                assert_eq!(channel.write_vectored(id, 0, &[]), Err(Errno::ESRCH));
                assert_eq!(channel.read_vectored(id, 0, &mut []), Err(Errno::ESRCH));
                written
            }
        });
        let mut reply = vec![0; room];
        let got = connection.send(b"ok!", &mut reply).unwrap();
        let expected: Vec<u8> = [b"zxy".as_slice(), &[7; 150]].concat();
        let len = room.min(expected.len());
        assert_eq!(got.len, len, "a buffer of {room}");
        assert_eq!(reply[..len], expected[..len]);
        assert_eq!(answering.join().unwrap(), len.saturating_sub(1));
    }
}
