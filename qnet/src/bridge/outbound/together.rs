//! Parts of crowds that the engine has as runs: sent together, answered by bits.
//!
//! A message of a crowd whose run dissolves waits for a call of its own from then on, and stays in its crowd.

use qnet_proto::{Engine, OutboundCall, OutboundConn, OutboundRun};

use crate::bridge::{
    outbound::{
        Held, Outbound, Waiting,
        crowd::{Place, Waits},
    },
    own_ids::OwnIds,
};

/// Neighbours of a crowd that are a run.
#[derive(Clone, Copy, Default)]
struct Part {
    crowd: usize,
    /// The first of them.
    from: usize,
    /// Those that wait for the run: one bit each.
    open: u64,
}

impl Part {
    /// Where those are that wait.
    fn places(self) -> impl Iterator<Item = Place> {
        let its = (0..u64::BITS).filter(move |at| self.open >> at & 1 == 1);
        its.map(move |at| self.place(at))
    }

    fn place(&self, at: u32) -> Place {
        Place {
            crowd: self.crowd,
            at: self.from + at as usize,
        }
    }
}

/// All such parts.
#[derive(Default)]
pub(super) struct Together {
    parts: OwnIds<OutboundRun, Part>,
    /// Messages in them that wait.
    open: usize,
}

impl Together {
    /// Messages that wait for the answers to runs.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// `count` neighbours of a crowd wait for a run.
    pub(super) fn note(&mut self, run: OutboundRun, crowd: usize, from: usize, count: usize) {
        let open = u64::MAX >> (u64::BITS as usize - count);
        self.parts.insert(run, Part { crowd, from, open });
        self.open += count;
    }

    /// Where message `at` of a run is.
    pub(super) fn place(&self, run: OutboundRun, at: u32) -> Option<Place> {
        self.parts.get(&run).map(|part| part.place(at))
    }

    /// Some wait no longer for their run. Answers which those are.
    fn close(&mut self, run: OutboundRun, members: u64) -> Part {
        let Some(part) = self.parts.get_mut(&run) else {
            return Part::default();
        };
        let closed = Part {
            open: part.open & members,
            ..*part
        };
        part.open &= !members;
        if part.open == 0 {
            self.parts.remove(&run);
        }
        self.open -= closed.open.count_ones() as usize;
        closed
    }
}

impl Outbound {
    /// Bytes of message `at` of a run.
    pub(in crate::bridge) fn read_run(&self, run: OutboundRun, at: u32) -> &[u8] {
        let place = self.together.place(run, at);
        place.map_or(&[], |place| self.crowds.bytes(place))
    }

    /// Messages of a run were answered with a status alone.
    pub(in crate::bridge) fn run_replied(&mut self, run: OutboundRun, members: u64, status: i64) {
        for place in self.together.close(run, members).places() {
            self.reply_in_crowd(place, status);
        }
    }

    /// A message waits for a call of its own from now on.
    pub(in crate::bridge) fn left_run(&mut self, run: OutboundRun, at: u32, call: OutboundCall) {
        for place in self.together.close(run, 1 << at).places() {
            self.crowds.wait_for(place, Waits::ForCall(call));
            let (message, wants_out) = (Held::InCrowd(place), false);
            self.note(call, Waiting { message, wants_out });
        }
    }

    /// Each message of a run is to be dealt with by itself.
    pub(super) fn dissolve(&mut self, engine: &mut Engine, run: OutboundRun) {
        for (at, call) in engine.dissolve(run) {
            self.left_run(run, at, call);
        }
    }

    /// The same of all runs of a connection.
    pub(super) fn dissolve_all(&mut self, engine: &mut Engine, conn: OutboundConn) {
        let runs: Vec<OutboundRun> = engine.runs_of(conn).collect();
        for run in runs {
            self.dissolve(engine, run);
        }
    }
}
