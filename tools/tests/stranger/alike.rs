//! Messages: several whole messages in one record.

use crate::bytes::{Reader, Writer};
use crate::record::{LEN_MAX, Record};

/// Writes messages with neighbouring numbers that differ in their bytes alone; answers the type of the record.
pub(crate) fn put(messages: &[Record], to: &mut Writer) -> u8 {
    for (at, message) in messages.iter().enumerate() {
        let Record::Message {
            call,
            conn,
            len,
            reply_len,
            tid,
            priority,
            reports: false,
            pulses: 0,
            connect: None,
            bytes,
        } = message
        else {
            panic!("no plain message: {message:?}");
        };
        if at == 0 {
            to.u64(*call).u64(*conn).u32(*len).u32(*reply_len).u32(*tid);
            to.u8(*priority).u8(0).u16(0);
        }
        assert_eq!(bytes.len(), *len as usize, "it is whole");
        to.bytes(bytes);
    }
    14
}

/// Reads them one by one.
pub(crate) fn take(from: &mut Reader<'_>) -> Option<Record> {
    let (call, conn, len, reply_len) = (from.u64()?, from.u64()?, from.u32()?, from.u32()?);
    let (tid, priority) = (from.u32()?, from.u8()?);
    from.zeros(3)?;
    let bytes = from.rest();
    let is_whole = len > 0 && !bytes.is_empty() && bytes.len().is_multiple_of(len as usize);
    let is_sound = is_whole && len <= LEN_MAX && reply_len <= LEN_MAX;
    let each = bytes.chunks(len.max(1) as usize).zip(call..);
    let messages = each.map(|(bytes, call)| Record::Message {
        call,
        conn,
        len,
        reply_len,
        tid,
        priority,
        reports: false,
        pulses: 0,
        connect: None,
        bytes: bytes.to_vec(),
    });
    is_sound.then(|| Record::Messages(messages.collect()))
}

#[test]
fn a_run_of_messages_is_read_as_it_was_written() {
    let message = |call, byte| Record::Message {
        call,
        conn: 1,
        len: 3,
        reply_len: 9,
        tid: 4,
        priority: 5,
        reports: false,
        pulses: 0,
        connect: None,
        bytes: vec![byte; 3],
    };
    let messages = Record::Messages(vec![message(7, 1), message(8, 2)]);
    let bytes = messages.encode();
    assert_eq!(bytes.len(), 4 + 32 + 2 * 3);
    assert_eq!(Record::decode(&mut Reader(&bytes)), Some(messages));
}
