//! A bad wire, on purpose and repeatably: loses, doubles, reorders and damages the frames that are sent.

use std::{str::FromStr, time::Duration};

use ipc_core::Wake;
use qnet_proto::LinkId;

use crate::{
    driver::{Arrived, Hole, Link, LinkCounters, LinkError, Mac},
    limits::HELD_FRAMES_MAX,
};

/// How long a held-back frame waits for another to overtake it.
const HOLD: Duration = Duration::from_millis(1);

/// What goes wrong on the wire, as probabilities from 0 to 1, and the seed that decides when.
///
/// Reads from text such as `loss=0.05,dup=0.01,reorder=0.02,corrupt=0.01,seed=7`; what is not named is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// A frame is lost.
    pub loss: f64,
    /// A frame arrives twice.
    pub dup: f64,
    /// A frame is overtaken by later ones.
    pub reorder: f64,
    /// One bit of a frame is turned over; the nodes have to seal their frames to notice.
    pub corrupt: f64,
    /// Same seed and same frames: same faults.
    pub seed: u64,
}

impl FromStr for FaultPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<FaultPlan, String> {
        let mut plan = FaultPlan::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not of the form name=value"))?;
            let probability = || match value.parse::<f64>() {
                Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
                _ => Err(format!(
                    "{name}: {value:?} is not a probability from 0 to 1"
                )),
            };
            match name {
                "loss" => plan.loss = probability()?,
                "dup" => plan.dup = probability()?,
                "reorder" => plan.reorder = probability()?,
                "corrupt" => plan.corrupt = probability()?,
                "seed" => {
                    plan.seed = value
                        .parse()
                        .map_err(|_| format!("seed: {value:?} is not a number"))?;
                }
                _ => {
                    return Err(format!(
                        "{name:?} is none of loss, dup, reorder, corrupt, seed"
                    ));
                }
            }
        }
        Ok(plan)
    }
}

/// A link around a link that follows a [`FaultPlan`] for what is sent.
pub struct FaultLink<L> {
    inner: L,
    plan: FaultPlan,
    random: u64,
    buffer: Vec<u8>,
    held: Vec<(LinkId, Vec<u8>)>,
}

impl<L: Link> FaultLink<L> {
    /// Makes `inner` a bad wire.
    pub fn new(inner: L, plan: FaultPlan) -> FaultLink<L> {
        FaultLink {
            buffer: vec![0; crate::driver::ETHERNET_HEADER_LEN + inner.mtu()],
            inner,
            plan,
            // Splits neighbouring seeds far apart; never 0, which xorshift would stay at.
            random: plan.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            held: Vec::new(),
        }
    }

    fn happens(&mut self, probability: f64) -> bool {
        (self.draw() as f64) < probability * (1_u64 << 53) as f64
    }

    /// A number of 53 bits.
    fn draw(&mut self) -> u64 {
        // xorshift64*: small, repeatable, and good enough to break a wire.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn pass(&mut self, port: LinkId, frame: &[u8]) {
        // A full queue of the link below is one more lost frame.
        if let Some(buffer) = self.inner.frame_buffer() {
            buffer[..frame.len()].copy_from_slice(frame);
            self.inner.queue_to(port, frame.len());
        }
    }

    fn release(&mut self) {
        for (port, frame) in std::mem::take(&mut self.held) {
            self.pass(port, &frame);
        }
    }
}

impl<L: Link> Link for FaultLink<L> {
    fn mac(&self) -> Mac {
        self.inner.mac()
    }

    fn mtu(&self) -> usize {
        self.inner.mtu()
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        // Back-pressure is the inner link's: a frame taken here can be passed on.
        self.inner.frame_buffer()?;
        Some(&mut self.buffer)
    }

    fn queue_to(&mut self, port: LinkId, len: usize) {
        let plan = self.plan;
        // Always as many draws, so that one probability does not move the faults of another.
        let (lost, doubled, late, damaged) = (
            self.happens(plan.loss),
            self.happens(plan.dup),
            self.happens(plan.reorder),
            self.happens(plan.corrupt),
        );
        let place = self.draw();
        if lost {
            return;
        }
        let mut frame = self.buffer[..len].to_vec();
        if damaged {
            let bit = place % (8 * len as u64);
            frame[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        if doubled {
            self.pass(port, &frame);
        }
        if late && self.held.len() < HELD_FRAMES_MAX {
            self.held.push((port, frame));
        } else {
            self.pass(port, &frame);
            self.release();
        }
    }

    fn wake(&mut self, wakes: &[Wake]) {
        self.inner.wake(wakes);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        if self.held.is_empty() {
            return self.inner.wait(timeout);
        }
        let shorter = timeout.map_or(HOLD, |timeout| timeout.min(HOLD));
        let outcome = self.inner.wait(Some(shorter));
        if shorter == HOLD {
            self.release();
        }
        outcome
    }

    fn may_have_rung(&self) -> bool {
        self.inner.may_have_rung()
    }

    fn nothing_changed(&mut self) {
        self.inner.nothing_changed();
    }

    fn rest(&mut self, span: Duration) -> Result<(), LinkError> {
        match self.held.is_empty() {
            true => self.inner.rest(span),
            false => self.wait(Some(span)),
        }
    }

    fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])> {
        self.inner.next_frame_from()
    }

    fn next_frame_placing(
        &mut self,
        place: &mut dyn FnMut(&[u8], usize) -> Option<Hole>,
    ) -> Option<Arrived<'_>> {
        self.inner.next_frame_placing(place)
    }

    fn next_carrier(&mut self) -> Option<(LinkId, bool)> {
        self.inner.next_carrier()
    }

    fn counters(&self) -> LinkCounters {
        self.inner.counters()
    }

    fn counters_of(&self, port: LinkId) -> LinkCounters {
        self.inner.counters_of(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_from_text() {
        let plan: FaultPlan = "loss=0.05,seed=7".parse().unwrap();
        assert_eq!((plan.loss, plan.dup, plan.seed), (0.05, 0.0, 7));
        for bad in ["loss", "loss=2", "speed=1", "seed=x"] {
            assert!(bad.parse::<FaultPlan>().is_err(), "{bad}");
        }
    }

    /// Keeps what is sent.
    struct Record(Vec<u8>, Vec<Vec<u8>>);

    impl Link for Record {
        fn mac(&self) -> Mac {
            Mac::default()
        }

        fn mtu(&self) -> usize {
            1500
        }

        fn frame_buffer(&mut self) -> Option<&mut [u8]> {
            Some(&mut self.0)
        }

        fn queue_to(&mut self, _: LinkId, len: usize) {
            self.1.push(self.0[..len].to_vec());
        }

        fn wake(&mut self, _: &[Wake]) {}

        fn wait(&mut self, _: Option<Duration>) -> Result<(), LinkError> {
            Ok(())
        }

        fn rest(&mut self, _: Duration) -> Result<(), LinkError> {
            Ok(())
        }

        fn next_frame_from(&mut self) -> Option<(LinkId, &[u8])> {
            None
        }

        fn counters(&self) -> LinkCounters {
            LinkCounters::default()
        }

        fn counters_of(&self, _: LinkId) -> LinkCounters {
            LinkCounters::default()
        }
    }

    fn sent(plan: FaultPlan) -> Vec<Vec<u8>> {
        let mut link = FaultLink::new(Record(vec![0; 1514], Vec::new()), plan);
        for number in 0..10_000_u32 {
            link.frame_buffer().unwrap()[..4].copy_from_slice(&number.to_le_bytes());
            link.queue(4);
        }
        link.wait(None).unwrap();
        link.inner.1
    }

    #[test]
    fn faults_come_as_often_as_planned_and_repeat_with_the_seed() {
        let plan: FaultPlan = "loss=0.1,dup=0.05,reorder=0.02,seed=3".parse().unwrap();
        let frames = sent(plan);
        assert_eq!(frames, sent(plan));
        assert_ne!(frames, sent(FaultPlan { seed: 4, ..plan }));
        let distinct: std::collections::BTreeSet<_> = frames.iter().collect();
        assert!(
            (8_500..9_500).contains(&distinct.len()),
            "{}",
            distinct.len()
        );
        assert!(frames.len() > distinct.len() + 200);
        assert!(!frames.is_sorted_by_key(|f| u32::from_le_bytes(f[..4].try_into().unwrap())));
    }

    #[test]
    fn a_damaged_frame_differs_in_one_bit() {
        let frames = sent("corrupt=0.1,seed=3".parse().unwrap());
        let bits = frames.iter().zip(0_u32..).map(|(frame, number)| {
            let sent = u32::from_le_bytes(frame[..].try_into().unwrap());
            (sent ^ number).count_ones()
        });
        let damaged = bits.inspect(|&bits| assert!(bits <= 1)).sum::<u32>();
        assert!((850..1150).contains(&damaged), "{damaged}");
    }

    #[test]
    fn no_plan_is_a_good_wire() {
        assert_eq!(sent(FaultPlan::default()).len(), 10_000);
    }
}
