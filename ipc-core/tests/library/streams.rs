use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};

use super::support::{pair, serve_one};

// covers: RPL-4
#[test]
fn a_message_and_its_reply_are_streams() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        let mut text = String::new();
        BufReader::new(message.reader())
            .read_to_string(&mut text)
            .unwrap();
        let mut writer = BufWriter::new(message.writer());
        for word in text.split(' ').rev() {
            write!(writer, "{word} ").unwrap();
        }
        let writer = writer.into_inner().unwrap();
        let status = writer.written() as i64;
        message.reply(status, b"").unwrap();
    });
    let mut reply = [0; 64];
    let got = connection
        .send(b"passing message is this", &mut reply)
        .unwrap();
    assert_eq!((got.status, got.len), (24, 24));
    assert_eq!(&reply[..got.len], b"this is message passing ");
    server.join().unwrap();
}

#[test]
fn a_full_reply_buffer_takes_no_more() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        let error = message.writer().write_all(&[1; 10]).unwrap_err();
        message.reply(0, b"").unwrap();
        error.kind()
    });
    let mut reply = [0; 9];
    assert_eq!(connection.send(b"", &mut reply).unwrap().len, 9);
    assert_eq!(server.join().unwrap(), ErrorKind::WriteZero);
}

#[test]
fn loans_are_streams_in_place() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        std::io::copy(&mut message.reader(), &mut message.writer()).unwrap();
        message.reply(0, b"").unwrap();
    });
    let bytes: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
    let mut loan = connection.loan(bytes.len(), bytes.len()).unwrap();
    loan.writer().write_all(&bytes).unwrap();
    let reply = connection.send_loan(loan).unwrap();
    let mut back = Vec::new();
    reply.reader().read_to_end(&mut back).unwrap();
    assert!(back == bytes);
    server.join().unwrap();
}
