//! Messages of which every byte follows from their head.

/// Bytes of the head.
pub(super) const HEAD_LEN: usize = 40;

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answers it.
    Echo,
    /// Keeps it until the client wants out.
    Keep,
    /// Answers how many pulses the sender has sent.
    CountPulses,
    /// Answers what it holds of others.
    WhatIsHeld,
}

/// The first words of every message and every reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u64,
    pub(super) sender: u64,
    pub(super) number: u64,
    /// Of the reply, in bytes.
    pub(super) reply_len: u64,
    /// What a reply says.
    pub(super) value: u64,
}

impl Head {
    /// The bytes of a message that begins with this head.
    pub(super) fn bytes(self, len: usize) -> Vec<u8> {
        let words = [
            self.kind,
            self.sender,
            self.number,
            self.reply_len,
            self.value,
        ];
        let mut bytes = Vec::with_capacity(len.max(HEAD_LEN) + 8);
        words
            .iter()
            .for_each(|word| bytes.extend(word.to_le_bytes()));
        let words = (0..(len.saturating_sub(HEAD_LEN)).div_ceil(8) as u64).map(|at| self.word(at));
        words.for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.truncate(len.max(HEAD_LEN));
        bytes
    }

    /// The head of a message, if all of its bytes follow from it.
    pub(super) fn of(bytes: &[u8]) -> Option<Head> {
        let (head, rest) = bytes.split_at_checked(HEAD_LEN)?;
        let word = |at: usize| u64::from_le_bytes(head[at * 8..][..8].try_into().expect("eight"));
        let head = Head {
            kind: word(0),
            sender: word(1),
            number: word(2),
            reply_len: word(3),
            value: word(4),
        };
        let mut words = rest.chunks(8).zip(0..);
        words
            .all(|(part, at)| part == &head.word(at).to_le_bytes()[..part.len()])
            .then_some(head)
    }

    fn word(self, at: u64) -> u64 {
        let start = self.sender ^ self.number.rotate_left(32);
        (start ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
