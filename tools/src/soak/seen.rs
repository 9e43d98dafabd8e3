//! What a server remembers between two rests, to find messages and pulses that came twice or never.

use std::collections::{BTreeSet, HashMap, HashSet};

/// Messages of one sender that are remembered; older ones are taken for repeated.
const REMEMBERED: usize = 4096;

/// Who sent what so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    messages: HashMap<u64, BTreeSet<u64>>,
    /// Messages that were told to come again, and have not yet.
    restarted: HashSet<(u64, u64)>,
    pulses: HashMap<u64, Pulses>,
}

/// How often a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    /// A second time, as it was told to.
    Restarted,
    Repeated,
}

/// The pulses of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pulses {
    count: u64,
    sum: u64,
}

/// Bits of a pulse's value that count the pulses of a connection; the others name it.
pub(super) const NUMBER_BITS: u32 = 20;

impl Seen {
    /// Notes a message.
    pub(super) fn message(&mut self, sender: u64, number: u64) -> Arrival {
        if self.restarted.remove(&(sender, number)) {
            return Arrival::Restarted;
        }
        let numbers = self.messages.entry(sender).or_default();
        let is_new = numbers.insert(number);
        if numbers.len() > REMEMBERED {
            numbers.pop_first();
        }
        if is_new {
            Arrival::New
        } else {
            Arrival::Repeated
        }
    }

    /// Expects a message a second time.
    pub(super) fn restart(&mut self, sender: u64, number: u64) {
        self.restarted.insert((sender, number));
    }

    /// Notes a pulse; with `in_order`, answers what is wrong with its number.
    pub(super) fn pulse(&mut self, value: i64, in_order: bool) -> Option<String> {
        let value = value.cast_unsigned();
        let (connection, number) = (value >> NUMBER_BITS, value & ((1 << NUMBER_BITS) - 1));
        let pulses = self.pulses.entry(connection).or_default();
        let expected = pulses.count;
        pulses.count += 1;
        pulses.sum += number;
        (in_order && number != expected).then(|| {
            format!("pulse {number} of connection {connection:x} came as number {expected}")
        })
    }

    /// Whether the pulses of a connection have all come, each once. The value is that of the next pulse.
    pub(super) fn has_all_pulses(&self, next: u64) -> bool {
        let (connection, count) = (next >> NUMBER_BITS, next & ((1 << NUMBER_BITS) - 1));
        let sum = count * count.saturating_sub(1) / 2;
        self.pulses.get(&connection).copied().unwrap_or_default() == Pulses { count, sum }
    }

    /// Forgets everything: nothing of what was sent so far can come any more.
    pub(super) fn forget(&mut self) {
        *self = Seen::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_new_once_and_once_more_when_restarted() {
        let mut seen = Seen::default();
        assert_eq!(seen.message(1, 5), Arrival::New);
        assert_eq!(seen.message(2, 5), Arrival::New);
        assert_eq!(seen.message(1, 5), Arrival::Repeated);
        seen.restart(1, 5);
        assert_eq!(seen.message(1, 5), Arrival::Restarted);
        assert_eq!(seen.message(1, 5), Arrival::Repeated);
    }

    #[test]
    fn a_pulse_lost_doubled_or_overtaken_is_found() {
        let value = |number: i64| 7 << NUMBER_BITS | number;
        let mut seen = Seen::default();
        assert_eq!(seen.pulse(value(0), true), None);
        assert!(seen.pulse(value(2), true).is_some());
        assert!(!seen.has_all_pulses(value(3) as u64));
        assert_eq!(seen.pulse(value(1), false), None);
        assert!(seen.has_all_pulses(value(3) as u64));
        seen.pulse(value(1), false);
        assert!(!seen.has_all_pulses(value(3) as u64));
    }
}
