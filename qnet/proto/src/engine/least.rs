//! Whether a path passes the length that every link must take: a switch may begin to pass less, while handshakes, short
//! messages and questions go on to arrive and a long message never would.
//!
//! Nothing is asked while frames of such a length arrive. When several did not, though shorter ones do, a padded frame
//! asks; when none of those arrives for the tolerance, the path is no path.

use crate::Time;
use crate::limits::MTU_MIN;

/// Packets of no more than the least length lost, with none as long arrived between, that make a path suspect.
pub(super) const LOST_LEAST_ENOUGH: u32 = 8;
/// Lost probes of the least length without which no path is given up, however long it took.
pub(super) const PROBES_LEAST: u32 = 8;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Least {
    /// Packets lost with none as long as the shortest of them arrived since.
    lost: u32,
    shortest: usize,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    /// When it was first asked.
    since: Option<Time>,
    lost: u32,
}

impl Least {
    /// A packet of `len` bytes is lost, longer than whatever arrived lately.
    pub(super) fn on_lost(&mut self, len: usize) {
        self.shortest = match self.lost {
            0 => len,
            _ => self.shortest.min(len),
        };
        self.lost = self.lost.saturating_add(1);
        if self.lost >= LOST_LEAST_ENOUGH && self.doubt.is_none() {
            self.doubt = Some(Doubt::default());
        }
    }

    /// A packet of `len` bytes arrived, longer than whatever did lately.
    pub(super) fn on_acked(&mut self, len: usize) {
        if len >= self.shortest {
            self.lost = 0;
        }
        if len >= MTU_MIN {
            self.doubt = None;
        }
    }

    /// Whether a frame of the least length is to ask.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    pub(super) fn on_probe_sent(&mut self, now: Time) {
        if let Some(doubt) = &mut self.doubt {
            doubt.since.get_or_insert(now);
        }
    }

    pub(super) fn on_probe_lost(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.lost = doubt.lost.saturating_add(1);
        }
    }

    /// Whether it was asked in vain for so long.
    pub(super) fn is_refuted(&self, now: Time, tolerance_ns: u64) -> bool {
        self.doubt.is_some_and(|doubt| {
            let since = doubt.since.unwrap_or(now);
            doubt.lost >= PROBES_LEAST && now.since(since) >= tolerance_ns
        })
    }
}
