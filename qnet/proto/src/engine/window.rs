//! How many bytes may be on their way: a flight window for a LAN.
//!
//! It grows while acknowledgements come, up to what the receiver can buffer. When a noticeable part of a round
//! was lost it shrinks to what arrived and a little more: that is what a full buffer let through. It ends at what
//! never fills a buffer by itself. The share that is lost even there is the wire's, which loses it whatever the window
//! is: the window grows again until noticeably more is lost. Only a path that does not answer at all begins below that.

/// Shares are counted in parts of this.
const WHOLE: u32 = 1 << 16;
/// A round counts as congested when so much more is lost than the wire loses anyway.
const LOSS_SHARE: u32 = WHOLE / 16;
/// Rounds of fewer packets say nothing of the wire.
const TELLING_PACKETS: u32 = 8;
/// Bytes of frames that a new window has.
const INITIAL_LEN: u64 = 256 << 10;
/// Bytes of frames, or so many frames, that losses alone leave.
const KEPT_LEN: u64 = 48 << 10;
const KEPT_FRAMES: u64 = 8;

/// Bytes beyond the window that long messages cannot take: small ones need not wait for them.
pub(super) const SMALL_RESERVE_LEN: u64 = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    len: u64,
    /// What is left on a path that does not answer.
    min_len: u64,
    /// What losses leave.
    kept_len: u64,
    max_len: u64,
    slow_start: bool,
    /// First packet number of the next round.
    round_end: u64,
    acked_packets: u32,
    lost_packets: u32,
    acked_len: u64,
    /// The share of packets that the wire loses whatever the window is, smoothed.
    wire_share: u32,
}

impl Window {
    /// A window for frames of `frame_len` to a receiver that takes `receive_window_len` in one go.
    pub(super) fn new(frame_len: usize, receive_window_len: u32) -> Window {
        let max_len = u64::from(receive_window_len)
            .saturating_sub(SMALL_RESERVE_LEN)
            .max(2 * frame_len as u64);
        let min_len = (4 * frame_len as u64).min(max_len);
        Window {
            len: INITIAL_LEN.min(max_len).max(min_len),
            min_len,
            kept_len: KEPT_LEN.max(KEPT_FRAMES * frame_len as u64).min(max_len),
            max_len,
            slow_start: true,
            round_end: 0,
            acked_packets: 0,
            lost_packets: 0,
            acked_len: 0,
            wire_share: 0,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// A packet of `len` bytes arrived; the sender's next number is `next_packet`.
    pub(super) fn on_acked(&mut self, packet: u64, len: u64, next_packet: u64) {
        self.acked_packets += 1;
        self.acked_len += len;
        if self.slow_start {
            self.len = (self.len + len).min(self.max_len);
        }
        if packet >= self.round_end {
            self.end_round(next_packet);
        }
    }

    /// A packet counts as lost.
    pub(super) fn on_lost(&mut self) {
        self.lost_packets += 1;
    }

    /// Three probe timeouts in a row: nothing gets through.
    pub(super) fn on_stall(&mut self) {
        self.len = self.min_len;
        self.slow_start = true;
    }

    fn end_round(&mut self, next_packet: u64) {
        let packets = self.acked_packets + self.lost_packets;
        let lost = u64::from(self.lost_packets) * u64::from(WHOLE) / u64::from(packets.max(1));
        let lost_share = lost as u32;
        let is_congested = self.lost_packets > 1 && lost_share > self.wire_share + LOSS_SHARE;
        // Neither what overflows a buffer nor the little that is known of few packets is the wire's.
        let tells = !is_congested || self.len <= self.kept_len;
        if tells && packets >= TELLING_PACKETS {
            self.wire_share = (7 * self.wire_share + lost_share) / 8;
        }
        if is_congested {
            self.slow_start = false;
            let arrived = self.len * u64::from(self.acked_packets) / u64::from(packets);
            let passes = (arrived + arrived / 16).clamp(self.len * 7 / 10, self.len);
            self.len = passes.max(self.kept_len.min(self.len));
        } else if !self.slow_start && self.acked_len * 2 > self.len {
            self.len = (self.len + (self.len / 8).max(self.min_len / 4)).min(self.max_len);
        }
        self.round_end = next_packet;
        self.acked_packets = 0;
        self.lost_packets = 0;
        self.acked_len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(window: &mut Window, rounds: u64, lost_of_100: u64) {
        for round in 0..rounds {
            for packet in 0..100 {
                if packet < lost_of_100 {
                    window.on_lost();
                } else {
                    window.on_acked(round * 100 + packet, 1500, (round + 1) * 100);
                }
            }
        }
    }

    #[test]
    fn lone_losses_do_not_shrink_it_and_many_do() {
        let mut window = Window::new(1500, 1 << 20);
        rounds(&mut window, 20, 1);
        assert_eq!(window.len(), (1 << 20) - SMALL_RESERVE_LEN);
        let mut window = Window::new(1500, 1 << 20);
        rounds(&mut window, 12, 30);
        assert!(window.len() < 64 << 10, "{}", window.len());
        assert!(window.len() >= 4 * 1500);
    }

    #[test]
    fn a_wire_that_loses_at_random_does_not_take_the_window_away() {
        for lost_of_100 in [7, 10, 20, 30] {
            let mut window = Window::new(1500, 1 << 20);
            let mut packet = 0;
            let mut full_round = |window: &mut Window, lost_of_100| {
                let (first, sent) = (packet, window.len() / 1500);
                packet += sent;
                // The losses of a round lie evenly in it.
                let is_lost = |at| at * lost_of_100 / 100 != (at + 1) * lost_of_100 / 100;
                (0..sent)
                    .filter(|&at| is_lost(at))
                    .for_each(|_| window.on_lost());
                (0..sent)
                    .filter(|&at| !is_lost(at))
                    .for_each(|at| window.on_acked(first + at, 1500, packet));
            };
            (0..100).for_each(|_| full_round(&mut window, lost_of_100));
            assert_eq!(window.len(), (1 << 20) - SMALL_RESERVE_LEN);
            // Noticeably more is a sign again.
            (0..3).for_each(|_| full_round(&mut window, lost_of_100 + 10));
            assert!(window.len() < 900 << 10, "{}", window.len());
        }
    }

    #[test]
    fn losses_alone_leave_what_fills_no_buffer_and_silence_does_not() {
        let mut window = Window::new(1500, 1 << 20);
        rounds(&mut window, 12, 30);
        assert_eq!(window.len(), KEPT_LEN);
        window.on_stall();
        assert_eq!(window.len(), 4 * 1500);
        rounds(&mut window, 1, 90);
        assert!(window.len() < KEPT_LEN, "losses do not make it grow");
    }

    #[test]
    fn a_buffer_that_overflows_sets_it_to_what_it_lets_through() {
        // The last one is full at the lower end already: what it loses there is taken for the wire's share.
        for (passes, most) in [(200, 250), (1000, 1250), (20, 45)] {
            let mut window = Window::new(1500, 4 << 20);
            let mut packet = 0;
            for round in 0..200 {
                let sent = window.len() / 1500;
                let next = packet + sent;
                (passes..sent).for_each(|_| window.on_lost());
                for _ in 0..sent.min(passes) {
                    window.on_acked(packet, 1500, next);
                    packet += 1;
                }
                packet = next;
                let settled = (passes * 9 / 10..=most).contains(&(window.len() / 1500));
                assert!(round < 20 || settled, "round {round}: {}", window.len());
            }
        }
    }
}
