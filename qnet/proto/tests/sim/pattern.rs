//! Bytes that tell whose they are: each message and each reply has its own.

use super::random::mix;

/// Names one call of the whole simulation: node, life, connection and count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) client: usize,
    pub(crate) life: u32,
    pub(crate) coid: i32,
    pub(crate) tid: i32,
}

impl Key {
    pub(crate) fn hash(self) -> u64 {
        let who = (self.client as u64) << 48 | u64::from(self.life) << 32;
        mix(mix(who ^ self.coid as u64) ^ ((self.tid as u64) << 20))
    }

    /// What the server answers to this call.
    pub(crate) fn status(self) -> i64 {
        (self.hash() >> 2) as i64
    }

    /// Bytes of the reply, at most `reply_len`.
    pub(crate) fn reply_len(self, reply_len: u32) -> u32 {
        match self.hash() % 3 {
            0 => 0,
            1 => reply_len,
            _ => ((self.hash() >> 8) % (u64::from(reply_len) + 1)) as u32,
        }
    }
}

/// Which of the two bodies of a call.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    Message,
    Reply,
}

fn word(key: Key, body: Body, index: u32) -> [u8; 8] {
    let salt = match body {
        Body::Message => 0x11,
        Body::Reply => 0x77_0000_0000,
    };
    mix(key.hash() ^ salt ^ u64::from(index)).to_le_bytes()
}

/// Writes the bytes from `offset` on.
pub(crate) fn fill(key: Key, body: Body, offset: u32, into: &mut [u8]) {
    let mut at = 0;
    while at < into.len() {
        let place = offset as usize + at;
        let word = word(key, body, (place / 8) as u32);
        let len = (8 - place % 8).min(into.len() - at);
        into[at..at + len].copy_from_slice(&word[place % 8..place % 8 + len]);
        at += len;
    }
}

/// Whether `bytes` are the right ones from `offset` on.
pub(crate) fn is_right(key: Key, body: Body, offset: u32, bytes: &[u8]) -> bool {
    let mut expected = [0; 256];
    bytes.chunks(256).enumerate().all(|(index, chunk)| {
        let expected = &mut expected[..chunk.len()];
        fill(key, body, offset + index as u32 * 256, expected);
        expected == chunk
    })
}
