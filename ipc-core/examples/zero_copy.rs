//! Loans: a message is made where the server reads it, and the reply where the client does.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example zero_copy
//! sent 1048576 bytes of grey
//! got 1048576 bytes of 127
//! ```

use std::{
    io::{self, Read, Write},
    thread,
};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Nd, Pid, Result},
};

const PICTURE_LEN: usize = 1 << 20;
const ROW_LEN: usize = 4096;
const GREY: u8 = 128;

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();
    let server = thread::spawn(move || -> io::Result<()> {
        let Received::Message(message) = channel.receive()? else {
            return Ok(());
        };
        // Row by row, straight out of the client's message and into its reply buffer. The copies of a
        // row are what makes it safe: the client could write its message at any moment.
        let (mut picture, mut negative) = (message.reader(), message.writer());
        let mut row = [0; ROW_LEN];
        while picture.read(&mut row)? == row.len() {
            row.iter_mut().for_each(|pixel| *pixel = u8::MAX - *pixel);
            negative.write_all(&row)?;
        }
        // What was written is the reply.
        message.reply(0, b"")?;
        Ok(())
    });

    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
    let mut loan = connection.loan(PICTURE_LEN, PICTURE_LEN)?;
    let mut writer = loan.writer();
    for _ in 0..PICTURE_LEN / ROW_LEN {
        writer.write_all(&[GREY; ROW_LEN])?;
    }
    println!("sent {} bytes of grey", loan.len());

    let reply = connection.send_loan(loan)?;
    let mut reader = reply.reader();
    let (mut row, mut same) = ([0; ROW_LEN], 0);
    while reader.read(&mut row)? > 0 {
        same += row.iter().filter(|pixel| **pixel == u8::MAX - GREY).count();
    }
    println!("got {same} bytes of {}", u8::MAX - GREY);
    server.join().expect("the server does not panic")?;
    Ok(())
}
