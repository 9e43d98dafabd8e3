//! How many bytes may be on their way: a flight window for a LAN.
//!
//! It grows while acknowledgements come, up to what the receiver can buffer. When a noticeable part of a round
//! was lost it shrinks to what arrived and a little more: that is what a full buffer let through. It ends at what
//! never fills a buffer by itself. The share that is lost even there is the wire's, which loses it whatever the window
//! is: the window grows again until noticeably more is lost. Nowhere else is a share taken for the wire's: a larger
//! window cannot tell the wire from others who fill the same queue, and who got used to what they lose there would fill
//! it more and more. Only a path that does not answer at all begins below that.

/// Shares are counted in parts of this.
pub(super) const WHOLE: u32 = 1 << 16;
/// A round counts as congested when so much more is lost than the wire loses anyway.
pub(super) const LOSS_SHARE: u32 = WHOLE / 16;
/// Rounds of fewer packets say nothing of the wire.
pub(super) const TELLING_PACKETS: u32 = 8;
/// Bytes of frames that a new window has.
pub(super) const INITIAL_LEN: u64 = 256 << 10;
/// Bytes of frames, or so many frames, that losses alone leave.
pub(super) const KEPT_LEN: u64 = 48 << 10;
pub(super) const KEPT_FRAMES: u64 = 8;

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

    /// What the round lost so far says nothing of the window: the path led nowhere.
    pub(super) fn forget_losses(&mut self) {
        self.lost_packets = 0;
    }

    fn end_round(&mut self, next_packet: u64) {
        let packets = self.acked_packets + self.lost_packets;
        let lost = u64::from(self.lost_packets) * u64::from(WHOLE) / u64::from(packets.max(1));
        let lost_share = lost as u32;
        let is_congested = self.lost_packets > 1 && lost_share > self.wire_share + LOSS_SHARE;
        // The little that is known of few packets says nothing of the wire. What is lost of a larger window may be
        // what the windows of others overflow: it only shows that the wire's share is not more.
        if packets >= TELLING_PACKETS {
            let learnt = (7 * self.wire_share + lost_share) / 8;
            self.wire_share = match self.len <= self.kept_len {
                true => learnt,
                false => learnt.min(self.wire_share),
            };
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
    use std::iter;

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

    fn next_random(random: u64) -> u64 {
        random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1)
    }

    /// A window alone on a wire that loses by chance.
    struct OnWire {
        window: Window,
        next: u64,
        random: u64,
    }

    impl OnWire {
        fn new() -> OnWire {
            OnWire {
                window: Window::new(1500, 1 << 20),
                next: 0,
                random: 1,
            }
        }

        /// A round of which so many of a thousand are lost on average; how many packets it had.
        fn round(&mut self, lost_of_1000: u64) -> u64 {
            let (first, sent) = (self.next, self.window.len() / 1500);
            self.next += sent;
            for at in first..self.next {
                self.random = next_random(self.random);
                match (self.random >> 33) % 1000 < lost_of_1000 {
                    true => self.window.on_lost(),
                    false => self.window.on_acked(at, 1500, self.next),
                }
            }
            sent
        }

        /// The packets of a round, on average, once it has settled.
        fn settled(&mut self, lost_of_1000: u64) -> u64 {
            for _ in 0..1000 {
                self.round(lost_of_1000);
            }
            (0..3000).map(|_| self.round(lost_of_1000)).sum::<u64>() / 3000
        }
    }

    #[test]
    fn a_wire_that_loses_at_random_does_not_take_the_window_away() {
        let whole = (1 << 20) - SMALL_RESERVE_LEN;
        for lost_of_1000 in [20, 50, 70, 100, 150, 200] {
            let mut wire = OnWire::new();
            let kept = wire.settled(lost_of_1000);
            assert!(kept * 10 >= whole / 1500 * 9, "{lost_of_1000}: {kept}");
            // Noticeably more is a sign again.
            let is_whole = (0..1000).any(|_| {
                wire.round(lost_of_1000);
                wire.window.len() == whole
            });
            assert!(is_whole, "{lost_of_1000}");
            for _ in 0..3 {
                wire.round(lost_of_1000 + 150);
            }
            assert!(wire.window.len() < 900 << 10, "{}", wire.window.len());
        }
        // Three in ten are learnt at the lower end, but chance takes back above it what it may not add there: the
        // window comes and goes. So much is not worth more, as whoever gets used to it would keep a queue full that
        // others need; it must be far from what losses leave a window that learns nothing.
        let kept = OnWire::new().settled(300);
        assert!(kept >= 4 * KEPT_LEN / 1500, "{kept}");
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

    /// What senders of so many windows into one queue lose in the steady state, in parts of a thousand. The queue lets
    /// `passes` packets of a round through, whose they are is by chance.
    fn lost_by_sharing(senders: usize, passes: usize) -> u64 {
        let mut windows = vec![Window::new(1500, 1 << 20); senders];
        let mut next = vec![0; senders];
        let mut random = 1_u64;
        let (mut sent, mut lost) = (0, 0);
        for round in 0..600 {
            let mut packets: Vec<usize> = (0..senders)
                .flat_map(|of| iter::repeat_n(of, (windows[of].len() / 1500) as usize))
                .collect();
            for at in (1..packets.len()).rev() {
                random = next_random(random);
                packets.swap(at, (random >> 33) as usize % (at + 1));
            }
            let firsts = next.clone();
            packets.iter().for_each(|&of| next[of] += 1);
            let (passed, dropped) = packets.split_at(packets.len().min(passes));
            dropped.iter().for_each(|&of| windows[of].on_lost());
            let mut at = firsts;
            for &of in passed {
                windows[of].on_acked(at[of], 1500, next[of]);
                at[of] += 1;
            }
            if round >= 300 {
                sent += packets.len() as u64;
                lost += dropped.len() as u64;
            }
        }
        lost * 1000 / sent
    }

    #[test]
    fn senders_that_share_a_queue_do_not_take_each_others_losses_for_the_wires() {
        // What all of them keep fits into the queue, so that it is for the windows to settle. Their rhythm alone
        // loses up to an eighth: they overflow the queue by their growth and come back to 17/16 of what it takes. Who
        // learnt here that the wire loses so much would overflow it by more and more, to half of all packets.
        for (senders, passes) in [(8, 1000), (12, 1000), (20, 1000), (12, 2000), (20, 2000)] {
            let lost = lost_by_sharing(senders, passes);
            assert!(lost < 160, "{senders} senders, {passes}: {lost}");
        }
    }
}
