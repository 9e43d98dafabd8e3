//! What really went wrong in a run, or in all: a fault that is drawn and never happens proves nothing.

use qnet_proto::Event;
use qnet_proto::wire::{Frame, Record};

use super::Plan;

/// As configured unless it is configured otherwise.
const ETHERTYPE: u16 = 0x88b5;

macro_rules! happened {
    ($($(#[doc = $doc:literal])+ $name:ident: $what:literal,)*) => {
        /// Counts of what went wrong.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Happened {
            $($(#[doc = $doc])+ pub(crate) $name: u64,)*
        }

        impl Happened {
            /// Adds what went wrong in another run.
            pub(crate) fn add(&mut self, other: &Happened) {
                $(self.$name += other.$name;)*
            }

            /// Each count and what it counts.
            pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($what, self.$name)),*]
            }
        }
    };
}

happened! {
    /// Frames lost by chance.
    lost: "frames lost",
    /// In runs that lose 30 %.
    lost_of_30_percent: "runs that lose 30 %",
    /// Frames that came twice.
    doubled: "frames doubled",
    /// Runs that double 50 %.
    doubled_of_50_percent: "runs that double 50 %",
    /// Frames that later ones overtook.
    overtaken: "frames overtaken",
    /// Of these, by more than 256.
    overtaken_far: "frames overtaken by more than 256",
    /// Frames damaged.
    corrupted: "frames damaged",
    /// Frames longer than the segment passes.
    too_long: "frames too long for the segment",
    /// Frames cut off by a partition of one direction.
    cut_one_way: "frames cut one way",
    /// Frames cut off by a partition of both.
    cut_both_ways: "frames cut both ways",
    /// Frames that met a link without a carrier.
    without_carrier: "frames without a carrier",
    /// Carriers that went or came.
    carriers: "carriers gone or back",
    /// Nodes that began another life.
    restarts: "restarts",
    /// Nodes that stood still.
    pauses: "pauses",
    /// Times at which all nodes stood still.
    standstills: "standstills of all nodes",
    /// Clocks that jumped.
    jumps: "clock jumps",
    /// Records that carry more than one message.
    message_runs: "runs of messages",
    /// Records that answer more than one.
    reply_runs: "runs of replies",
    /// Messages that came together and were kept together.
    runs_kept: "runs that their holders took",
    /// Of these, messages that had to be answered by themselves.
    taken_out: "messages taken out of their runs",
    /// Runs with eight nodes.
    eight_nodes: "runs of 8 nodes",
}

impl Happened {
    /// Counts what is in a frame that is sent.
    pub(super) fn note_frame(&mut self, frame: &[u8], is_sealed: bool) {
        let frame = Frame::parse(frame, ETHERTYPE, is_sealed).expect("the engine wrote it");
        for record in frame.records() {
            match record.expect("the engine wrote it") {
                Record::Messages { .. } => self.message_runs += 1,
                Record::Replies(replies) if replies.count > 1 => self.reply_runs += 1,
                _ => {}
            }
        }
    }

    /// Counts what an engine tells.
    pub(super) fn note_event(&mut self, event: &Event) {
        match event {
            Event::RunArrived { .. } => self.runs_kept += 1,
            Event::TakenOut { .. } => self.taken_out += 1,
            _ => {}
        }
    }

    /// What a plan alone says.
    pub(super) fn of_plan(plan: &Plan) -> Happened {
        Happened {
            lost_of_30_percent: u64::from(plan.loss == 300),
            doubled_of_50_percent: u64::from(plan.duplication == 500),
            eight_nodes: u64::from(plan.nodes == 8),
            ..Happened::default()
        }
    }
}
