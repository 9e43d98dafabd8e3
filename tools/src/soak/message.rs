//! What messages and replies consist of: every byte follows from who sent which message, so each side can
//! tell a byte of another message, or of another client, from its own.

use super::random::{Random, mix};

/// Bytes of the longest message: beyond a MiB, nothing changes but the time it takes.
pub(super) const LEN_MAX: usize = 1 << 20;

/// Bytes at the start of a message that say what it is; a shorter one only counts.
pub(super) const HEADER_LEN: usize = 48;

const MAGIC: u32 = u32::from_le_bytes(*b"SOAK");

/// What the server is to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Reply.
    Reply = 1,
    /// Write the reply piece by piece, then reply no bytes.
    Write = 2,
    /// Fail it with the errno in the order's word.
    Fail = 3,
    /// Have it sent again once, then reply.
    Restart = 4,
    /// Drop it unanswered.
    Drop = 5,
    /// Keep it by its receive id; another thread replies.
    Late = 6,
    /// Reply once the pulses counted in the order's word have come.
    Audit = 7,
}

/// The start of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Who sends: one thread in one life of one client.
    pub(super) sender: u64,
    /// Which message of that sender's; later ones have higher numbers.
    pub(super) number: u64,
    pub(super) act: Act,
    /// Bytes to reply.
    pub(super) reply_len: u32,
    pub(super) word: u64,
}

impl Order {
    /// The whole message, of `len` bytes, at least a header.
    pub(super) fn message(&self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend((self.act as u32).to_le_bytes());
        bytes.extend(self.sender.to_le_bytes());
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.reply_len.to_le_bytes());
        bytes.extend((len as u32).to_le_bytes());
        bytes.extend(self.word.to_le_bytes());
        bytes.extend(self.check(len).to_le_bytes());
        bytes.resize(len, 0);
        fill(self.seed(), &mut bytes[HEADER_LEN..]);
        bytes
    }

    /// What `bytes` order, if every one of them is as its sender wrote it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Order, String> {
        let u32_at =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes.len() < HEADER_LEN || u32_at(0) != MAGIC {
            return Err(format!("{} bytes without a header", bytes.len()));
        }
        let order = Order {
            sender: u64_at(8),
            number: u64_at(16),
            act: act(u32_at(4)).ok_or("no such act")?,
            reply_len: u32_at(24),
            word: u64_at(32),
        };
        if u32_at(28) as usize != bytes.len() || u64_at(40) != order.check(bytes.len()) {
            return Err(format!(
                "a damaged header: {order:?}, {} bytes",
                bytes.len()
            ));
        }
        match first_difference(order.seed(), &bytes[HEADER_LEN..]) {
            Some(at) => Err(format!("{order:?}: byte {} is another's", HEADER_LEN + at)),
            None => Ok(order),
        }
    }

    /// The first `len` bytes of the reply.
    pub(super) fn reply(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fill(!self.seed(), &mut bytes);
        bytes
    }

    /// The first byte that does not belong into the reply.
    pub(super) fn first_wrong_in_reply(&self, bytes: &[u8]) -> Option<usize> {
        first_difference(!self.seed(), bytes)
    }

    /// The status of a reply.
    pub(super) fn status(&self) -> i64 {
        (mix(self.seed()) >> 1).cast_signed()
    }

    fn seed(&self) -> u64 {
        mix(self.sender ^ mix(self.number))
    }

    fn check(&self, len: usize) -> u64 {
        let lens = u64::from(self.reply_len) << 32 | len as u64;
        mix(self.seed() ^ mix(lens ^ mix(self.word ^ self.act as u64)))
    }
}

/// A message too short for a header; its reply is the same bytes.
pub(super) fn short(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + len) as u8).collect()
}

fn act(number: u32) -> Option<Act> {
    [
        Act::Reply,
        Act::Write,
        Act::Fail,
        Act::Restart,
        Act::Drop,
        Act::Late,
        Act::Audit,
    ]
    .into_iter()
    .find(|act| *act as u32 == number)
}

fn fill(seed: u64, bytes: &mut [u8]) {
    let mut random = Random::new(seed);
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
    }
}

fn first_difference(seed: u64, bytes: &[u8]) -> Option<usize> {
    let mut random = Random::new(seed);
    bytes
        .chunks(8)
        .position(|chunk| chunk != &random.next().to_le_bytes()[..chunk.len()])
        .map(|chunk| chunk * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Order = Order {
        sender: 5,
        number: 9,
        act: Act::Late,
        reply_len: 100,
        word: 3,
    };

    #[test]
    fn a_message_is_parsed_as_written_and_no_byte_of_it_may_change() {
        for len in [HEADER_LEN, HEADER_LEN + 1, 1000] {
            let mut bytes = ORDER.message(len);
            assert_eq!(Order::parse(&bytes), Ok(ORDER));
            for at in 0..len {
                bytes[at] ^= 0x10;
                assert!(Order::parse(&bytes).is_err(), "byte {at}");
                bytes[at] ^= 0x10;
            }
            assert!(Order::parse(&bytes[..len - 1]).is_err());
        }
    }

    #[test]
    fn replies_differ_from_messages_and_from_each_other() {
        let other = Order {
            number: 10,
            ..ORDER
        };
        let reply = ORDER.reply(64);
        assert_eq!(ORDER.first_wrong_in_reply(&reply), None);
        assert_eq!(other.first_wrong_in_reply(&reply), Some(0));
        assert_eq!(
            ORDER.first_wrong_in_reply(&ORDER.message(200)[HEADER_LEN..]),
            Some(0)
        );
        assert_ne!(ORDER.status(), other.status());
    }
}
