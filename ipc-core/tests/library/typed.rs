use ipc_core::abi::{Errno, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::support::{pair, serve_one};

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
struct Order {
    item: u64,
    count: u32,
    unit: [u8; 4],
}

/// Longer than what travels inside an entry or a slot.
type Page = [u64; 512];

const ORDER: Order = Order {
    item: 7,
    count: 3,
    unit: *b"pair",
};

// covers: SND-1, RPL-1
#[test]
fn values_arrive_as_they_were_sent() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        let order: Order = message.read_typed().unwrap();
        let total = order.item * u64::from(order.count);
        message.reply_typed(5, &total).unwrap();
        order
    });
    let reply = connection.send_typed::<_, u64>(&ORDER).unwrap();
    assert_eq!((reply.status, reply.value), (5, 21));
    assert_eq!(server.join().unwrap(), ORDER);
}

#[test]
fn values_longer_than_a_cache_line_arrive_too() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        let mut page: Page = message.read_typed().unwrap();
        page.reverse();
        message.reply_typed(0, &page).unwrap();
    });
    let page: Page = std::array::from_fn(|index| index as u64);
    let reply = connection.send_typed::<_, Page>(&page).unwrap();
    assert!(reply.value.iter().rev().eq(page.iter()));
    server.join().unwrap();
}

#[test]
fn a_message_of_another_length_is_ebadmsg_for_the_server() {
    let (channel, connection) = pair();
    for len in [0, 15, 17] {
        let server = serve_one(&channel, |message| {
            let read: Result<Order> = message.read_typed();
            message.error(Errno::EBADMSG).unwrap();
            read
        });
        let sent = connection.send(&vec![1; len], &mut []);
        assert_eq!(sent, Err(Errno::EBADMSG));
        assert_eq!(server.join().unwrap(), Err(Errno::EBADMSG), "{len} bytes");
    }
}

#[test]
fn a_reply_of_another_length_is_ebadmsg_for_the_client() {
    let (channel, connection) = pair();
    for len in [0, 7] {
        let server = serve_one(&channel, move |message| message.reply(0, &vec![9; len]));
        let sent = connection.send_typed::<_, u64>(&1_u8);
        assert_eq!(sent, Err(Errno::EBADMSG), "{len} bytes");
        server.join().unwrap().unwrap();
    }
}

#[test]
fn a_reply_that_does_not_fit_is_emsgsize_on_both_sides() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| message.reply_typed(0, &ORDER));
    let sent = connection.send_typed::<_, u64>(&1_u8);
    assert_eq!(sent, Err(Errno::EMSGSIZE));
    assert_eq!(server.join().unwrap(), Err(Errno::EMSGSIZE));
}

#[test]
fn a_header_is_read_with_bytes_behind_it() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        let header: u32 = message.read_typed_at(0).unwrap();
        let rest = message.read_vec(size_of::<u32>(), usize::MAX).unwrap();
        let past = message.read_typed_at::<u64>(message.len() - 7);
        message.write_typed(4, &header).unwrap();
        assert_eq!(message.write_typed(5, &header), Err(Errno::EMSGSIZE));
        message.reply(0, b"").unwrap();
        (header, rest, past)
    });
    let mut reply = [0; 8];
    let sent = [&6_u32.to_ne_bytes()[..], b"behind"].concat();
    assert_eq!(connection.send(&sent, &mut reply).unwrap().len, 8);
    let (header, rest, past) = server.join().unwrap();
    assert_eq!((header, rest.as_slice()), (6, &b"behind"[..]));
    assert_eq!(past, Err(Errno::EBADMSG));
    assert_eq!(reply[4], 6);
}

#[test]
fn a_unit_is_a_message_of_no_bytes() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        message.read_typed::<()>().unwrap();
        message.reply_typed(1, &()).unwrap();
    });
    assert_eq!(connection.send_typed::<_, ()>(&()).unwrap().status, 1);
    server.join().unwrap();
}

#[test]
fn loans_carry_values_in_place() {
    let (channel, connection) = pair();
    let server = serve_one(&channel, |message| {
        let order: Order = message.read_typed_at(1000).unwrap();
        message.write_typed(2000, &order).unwrap();
        message.reply(0, b"").unwrap();
    });
    let mut loan = connection.loan(4096, 4096).unwrap();
    loan.write_typed(1000, &ORDER).unwrap();
    assert_eq!(loan.write_typed(4095, &ORDER), Err(Errno::EMSGSIZE));
    let reply = connection.send_loan(loan).unwrap();
    assert_eq!(reply.read_typed::<Order>(2000), Ok(ORDER));
    assert_eq!(reply.read_typed::<Order>(2001), Err(Errno::EBADMSG));
    server.join().unwrap();
}
