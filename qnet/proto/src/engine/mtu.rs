//! The length of frames on one path: what both links take, or less where a switch between them does not.
//!
//! Nothing is probed while frames of full length arrive. When long frames vanish and short ones arrive, the
//! length falls to what is known to pass, and a bounded search by padded frames brings it back up. What it found is
//! doubted now and then while long frames are sent: a switch may pass more again, and a wire that lost much may have
//! lost the probes, too.

use super::least::Least;
use crate::Time;
use crate::limits::{ETHERNET_HEADER_LEN, MTU_MIN, MTU_SEARCH_STEP};

/// Long packets lost, with no long one arrived between, that make a path suspect.
pub(super) const LOST_LONG_ENOUGH: u32 = 8;
/// Losses that count for as much, if nothing at all arrived until short packets were sent.
pub(super) const LOST_LONG_ENOUGH_STALLED: u32 = 3;
/// Packets lost after which what arrived before says nothing of what arrives now.
pub(super) const LOST_AN_AGE: u32 = 32;
/// Lost probes of one length before it counts as too long.
pub(super) const PROBES_PER_LEN: u32 = 2;
/// Time after a probe until it is asked again whether longer frames pass.
pub(super) const RAISE_NS: u64 = 10_000_000_000;

/// All lengths are bytes behind the Ethernet header.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathMtu {
    /// What both links take.
    max: usize,
    /// What frames are cut to.
    now: usize,
    /// The longest known to have passed lately; 0: none. Begun anew when nothing gets through, and when many were lost.
    proven: usize,
    /// The shortest known not to pass, while a search is on.
    too_long: Option<usize>,
    lost_long: u32,
    /// Packets lost since `proven` was begun anew.
    lost: u32,
    least: Least,
    /// The packet that is the probe, and its length.
    probe: Option<(u64, usize)>,
    probes_lost: u32,
    /// When the last probe of a search was sent.
    searched_at: Time,
    /// Bytes that a frame keeps free for a tag it does not carry.
    spare: usize,
}

impl PathMtu {
    /// For a path whose two links take `max`; `spare` bytes of every frame stay empty.
    pub(super) fn new(max: usize, spare: usize) -> PathMtu {
        PathMtu {
            max,
            now: max,
            proven: 0,
            too_long: None,
            lost_long: 0,
            lost: 0,
            least: Least::default(),
            probe: None,
            probes_lost: 0,
            searched_at: Time(0),
            spare,
        }
    }

    /// What frames are cut to. While nothing arrives (`is_stalled`) that is what surely passes.
    pub(super) fn frame_mtu(&self, is_stalled: bool) -> usize {
        if is_stalled {
            self.now.min(self.proven.max(MTU_MIN))
        } else {
            self.now
        }
    }

    /// The length of the probe that is to be sent.
    pub(super) fn wants_probe(&self) -> Option<usize> {
        if self.probe.is_some() {
            return None;
        }
        let Some(too_long) = self.too_long else {
            return self.least.is_in_doubt().then_some(MTU_MIN);
        };
        // The first question is whether anything is wrong at all.
        Some(if too_long > self.max {
            self.max
        } else {
            self.now + (too_long - self.now) / 2
        })
    }

    /// The probe went out as this packet.
    pub(super) fn on_probe_sent(&mut self, now: Time, packet: u64, len: usize) {
        self.probe = Some((packet, len));
        if len <= MTU_MIN {
            self.least.on_probe_sent(now);
        } else {
            self.searched_at = now;
        }
    }

    /// Whether the path, to all appearance, passes shorter frames than every link must take, and no others.
    pub(super) fn is_too_narrow(&self, now: Time, tolerance_ns: u64) -> bool {
        self.least.is_refuted(now, tolerance_ns)
    }

    /// Whether this packet is the probe, whose loss says nothing of the path's state.
    pub(super) fn is_probe(&self, packet: u64) -> bool {
        self.probe.is_some_and(|(probe, _)| probe == packet)
    }

    /// A packet sent at that time arrived, whose frame had `frame_len` bytes; `was_stalled` if nothing did for long
    /// before.
    pub(super) fn on_acked(
        &mut self,
        packet: u64,
        sent_at: Time,
        frame_len: usize,
        was_stalled: bool,
    ) {
        let len = frame_len.saturating_sub(ETHERNET_HEADER_LEN) + self.spare;
        if let Some((_, probe_len)) = self.probe.filter(|_| self.is_probe(packet)) {
            self.probe = None;
            if probe_len <= MTU_MIN {
                self.proven = self.proven.max(len.min(self.max));
                return self.least.on_acked(len);
            }
            self.probes_lost = 0;
            self.now = self.now.max(len).min(self.max);
            self.proven = self.now;
            self.lost_long = 0;
            self.end_search();
            return;
        }
        if len > self.proven {
            self.proven = len.min(self.max);
            self.least.on_acked(len);
            if len > MTU_MIN {
                self.lost_long = 0;
            }
        }
        self.conclude(was_stalled);
        // Only who sends frames of about the length that is allowed would gain by a longer one.
        if 2 * len > self.now && sent_at.since(self.searched_at) >= RAISE_NS {
            self.search_above(self.now);
        }
    }

    /// Something arrived, so that the path leads to the peer: if too many long packets did not, they are too
    /// long.
    pub(super) fn conclude(&mut self, was_stalled: bool) {
        let lost_enough = if was_stalled {
            LOST_LONG_ENOUGH_STALLED
        } else {
            LOST_LONG_ENOUGH
        };
        if self.lost_long >= lost_enough && self.too_long.is_none() {
            self.begin_search();
        }
    }

    /// A packet is lost whose frame had `frame_len` bytes.
    pub(super) fn on_lost(&mut self, packet: u64, frame_len: usize) {
        let len = frame_len.saturating_sub(ETHERNET_HEADER_LEN) + self.spare;
        if let Some((_, len)) = self.probe.filter(|_| self.is_probe(packet)) {
            self.probe = None;
            if len <= MTU_MIN {
                return self.least.on_probe_lost();
            }
            self.probes_lost += 1;
            if self.probes_lost >= PROBES_PER_LEN {
                self.probes_lost = 0;
                self.too_long = Some(len);
                self.end_search();
            }
            return;
        }
        if len > self.proven.max(MTU_MIN) {
            self.lost_long = self.lost_long.saturating_add(1);
        } else if len > self.proven {
            self.least.on_lost(len);
        }
        self.lost += 1;
        if self.lost >= LOST_AN_AGE {
            self.lost = 0;
            self.proven = 0;
        }
    }

    /// Nothing arrives: what passed before may not pass when the path comes back.
    pub(super) fn on_stall(&mut self) {
        self.proven = 0;
    }

    /// The path leads elsewhere, perhaps: all is to be found out anew.
    pub(super) fn reset(&mut self) {
        *self = PathMtu::new(self.max, self.spare);
    }

    /// The peer says what its link takes, so that both links together take `max`.
    pub(super) fn set_max(&mut self, max: usize) {
        if max != self.max {
            self.max = max;
            self.reset();
        }
    }

    fn begin_search(&mut self) {
        self.lost_long = 0;
        self.search_above(self.proven.max(MTU_MIN));
    }

    /// Begins to ask what passes beyond `safe`, unless a search is on or there is little to win.
    fn search_above(&mut self, safe: usize) {
        if self.too_long.is_none() && safe + MTU_SEARCH_STEP < self.max {
            self.now = safe;
            self.too_long = Some(self.max + 1);
            self.probes_lost = 0;
        }
    }

    /// Ends the search when it is near enough. Only then can another begin.
    fn end_search(&mut self) {
        if self
            .too_long
            .is_some_and(|too_long| too_long <= self.now + MTU_SEARCH_STEP)
            || self.now == self.max
        {
            self.too_long = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that passes frames of up to `limit`; answers where the search ends and after how many probes.
    fn search(max: usize, limit: usize) -> (usize, u32) {
        let mut mtu = PathMtu::new(max, 0);
        let mut probes = 0;
        for packet in 0..200 {
            let len = mtu.wants_probe().inspect(|&len| {
                probes += 1;
                mtu.on_probe_sent(Time(0), packet, len);
            });
            let len = len.unwrap_or(if packet % 2 == 0 {
                mtu.frame_mtu(false)
            } else {
                100
            });
            if len <= limit {
                mtu.on_acked(packet, Time(0), len + ETHERNET_HEADER_LEN, false);
            } else {
                mtu.on_lost(packet, len + ETHERNET_HEADER_LEN);
            }
        }
        (mtu.frame_mtu(false), probes)
    }

    #[test]
    fn a_path_that_passes_everything_is_never_probed() {
        assert_eq!(search(9000, 9000), (9000, 0));
    }

    #[test]
    fn a_switch_that_passes_less_is_found_out_closely_and_with_few_probes() {
        for (max, limit) in [
            (9000, 1500),
            (9000, 8999),
            (1500, 1400),
            (65_535, 9000),
            (1500, 576),
        ] {
            let (found, probes) = search(max, limit);
            assert!(
                found <= limit && found + MTU_SEARCH_STEP >= limit,
                "{found} of {limit}"
            );
            assert!((1..=32).contains(&probes), "{probes} probes");
        }
    }

    #[test]
    fn short_frames_alone_are_sent_while_nothing_arrives() {
        let mut mtu = PathMtu::new(9000, 0);
        assert_eq!(mtu.frame_mtu(true), MTU_MIN);
        mtu.on_acked(0, Time(0), 9014, false);
        assert_eq!(mtu.frame_mtu(true), 9000);
        mtu.on_stall();
        assert_eq!(mtu.frame_mtu(true), MTU_MIN);
        assert_eq!(mtu.frame_mtu(false), 9000);
    }

    #[test]
    fn a_path_that_was_merely_cut_is_back_at_full_length_after_one_probe() {
        let mut mtu = PathMtu::new(9000, 0);
        mtu.on_acked(0, Time(0), 9014, false);
        (1..9).for_each(|packet| mtu.on_lost(packet, 9014));
        mtu.on_stall();
        (9..13).for_each(|packet| mtu.on_lost(packet, 9014));
        mtu.on_acked(13, Time(0), 100, true);
        assert_eq!(mtu.frame_mtu(false), MTU_MIN);
        let len = mtu.wants_probe().unwrap();
        mtu.on_probe_sent(Time(0), 14, len);
        mtu.on_acked(14, Time(0), len + ETHERNET_HEADER_LEN, false);
        assert_eq!((mtu.frame_mtu(false), mtu.wants_probe()), (9000, None));
    }
}
