//! Whether a send ended as it may.

use ipc_core::{
    Reply,
    abi::{Errno, Result},
};

use crate::soak::message::{Act, Order};

/// What the reply buffer holds before a send, where the server is not to write.
pub(super) const UNTOUCHED: u8 = 0xa5;

/// What is wrong with the outcome of an order, sent with this reply buffer. `excuses` are the errors that
/// what else happens to the connection may bring.
pub(super) fn wrong(
    order: &Order,
    outcome: &Result<Reply>,
    buffer: &[u8],
    excuses: &[Errno],
) -> Option<String> {
    let say = |what: &str| {
        Some(format!(
            "{order:?}: {what}: {outcome:?}, excused were {excuses:?}"
        ))
    };
    let failure = match order.act {
        Act::Fail if order.word != 0 => Some(Errno(order.word as i32)),
        Act::Drop => Some(Errno::EIO),
        _ => None,
    };
    let reply = match outcome {
        Err(error) if Some(*error) == failure || excuses.contains(error) => return None,
        Err(_) => return say("nobody ordered this error"),
        Ok(_) if failure.is_some() => return say("it was to fail"),
        Ok(reply) => reply,
    };
    let (status, len) = match order.act {
        Act::Fail => (0, 0),
        _ => (order.status(), buffer.len().min(order.reply_len as usize)),
    };
    if (reply.status, reply.len) != (status, len) {
        return say(&format!("status {status} and {len} bytes were to come"));
    }
    if let Some(at) = order.first_wrong_in_reply(&buffer[..len]) {
        return say(&format!("byte {at} of the reply is another's"));
    }
    let beyond = buffer[len..].iter().position(|byte| *byte != UNTOUCHED);
    beyond.and_then(|at| say(&format!("byte {at} beyond the reply was touched")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Order = Order {
        sender: 1,
        number: 2,
        act: Act::Reply,
        reply_len: 8,
        word: 0,
    };

    fn good() -> (Result<Reply>, Vec<u8>) {
        let mut buffer = ORDER.reply(8);
        buffer.extend([UNTOUCHED; 4]);
        let reply = Reply {
            status: ORDER.status(),
            len: 8,
        };
        (Ok(reply), buffer)
    }

    #[test]
    fn what_was_ordered_is_right_and_any_byte_of_difference_is_wrong() {
        let (outcome, buffer) = good();
        assert_eq!(wrong(&ORDER, &outcome, &buffer, &[]), None);
        for at in 0..buffer.len() {
            let mut buffer = buffer.clone();
            buffer[at] ^= 1;
            assert!(wrong(&ORDER, &outcome, &buffer, &[]).is_some(), "byte {at}");
        }
    }

    #[test]
    fn errors_must_be_ordered_or_excused() {
        let timed_out = Err(Errno::ETIMEDOUT);
        assert!(wrong(&ORDER, &timed_out, &[], &[Errno::ESRCH]).is_some());
        assert_eq!(wrong(&ORDER, &timed_out, &[], &[Errno::ETIMEDOUT]), None);
        let fail = Order {
            act: Act::Fail,
            word: Errno::EBUSY.0 as u64,
            ..ORDER
        };
        assert_eq!(wrong(&fail, &Err(Errno::EBUSY), &[], &[]), None);
        assert!(wrong(&fail, &good().0, &good().1, &[]).is_some());
    }
}
