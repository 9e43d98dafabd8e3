//! One round of any arm whose server answers: what is sent, what the answer must be.
//!
//! A message of up to one cache line comes back as it was. A larger one is read to its last byte, and its sum
//! comes back: what is measured is the message, and nobody gets away with not looking at it.

use std::ops::Deref;

use crate::payload::{self, SMALL_LEN};

/// The messages of one client, and their answers.
#[derive(Debug)]
pub struct Exchange {
    message: Vec<u8>,
    expected: Answer,
    number: u64,
}

impl Exchange {
    /// Messages of `len` bytes; above 64 a multiple of 64.
    pub fn new(len: usize) -> Exchange {
        Exchange {
            message: vec![0; len],
            expected: Answer::default(),
            number: 0,
        }
    }

    /// The message of round `number`.
    #[inline]
    pub fn message(&mut self, number: u64) -> &[u8] {
        self.number = number;
        let len = self.message.len();
        if len <= SMALL_LEN {
            self.message.copy_from_slice(&payload::small(number)[..len]);
            self.expected = answer(&self.message);
        } else {
            let sum = payload::stamp(&mut self.message, number);
            self.expected = Answer::of(&sum.to_ne_bytes());
        }
        &self.message
    }

    /// Checks what came back for the message made last.
    ///
    /// # Errors
    /// When it is not the answer to that message.
    #[inline]
    pub fn check(&self, reply: &[u8]) -> crate::Result<()> {
        if *reply == *self.expected {
            Ok(())
        } else {
            Err(payload::wrong(self.number))
        }
    }
}

/// What a server answers to `message`.
#[inline]
pub fn answer(message: &[u8]) -> Answer {
    if message.len() <= SMALL_LEN {
        Answer::of(message)
    } else {
        Answer::of(&payload::sum(message).to_ne_bytes())
    }
}

/// Up to one cache line.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    bytes: [u8; SMALL_LEN],
    len: usize,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let mut answer = Answer::default();
        answer.bytes[..bytes.len()].copy_from_slice(bytes);
        answer.len = bytes.len();
        answer
    }
}

impl Default for Answer {
    fn default() -> Answer {
        Answer {
            bytes: [0; SMALL_LEN],
            len: 0,
        }
    }
}

impl Deref for Answer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_message_of_any_size_passes_and_that_of_the_round_before_does_not() {
        for len in [8, 64, 128, 4096, 1 << 16] {
            let mut exchange = Exchange::new(len);
            let old = answer(exchange.message(1));
            let new = answer(exchange.message(2));
            assert!(exchange.check(&new).is_ok(), "{len} bytes");
            assert!(exchange.check(&old).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_message_of_nothing_is_answered_by_nothing() {
        let mut exchange = Exchange::new(0);
        assert!(answer(exchange.message(1)).is_empty());
        assert!(exchange.check(&[]).is_ok() && exchange.check(&[0]).is_err());
    }
}
