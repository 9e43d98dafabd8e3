//! Messages that came in one record and are kept together: each has one answer, whatever becomes of the others.

use qnet_proto::limits::RUN_MESSAGES_MAX;
use qnet_proto::wire::{Frame, Record};
use qnet_proto::{
    Cancel, Errno, Event, InboundCall, InboundConn, InboundRun, LinkId, Load, OutboundCall,
    OutboundConn,
};

use crate::pair::{MS, Pair};

const GONE: Errno = Errno::ESRCH;

/// Messages of node 0 that wait at node 1, as one run.
struct Bench {
    pair: Pair,
    conn: OutboundConn,
    calls: Vec<OutboundCall>,
    run: InboundRun,
    /// The server's end of `conn`.
    at_server: InboundConn,
}

impl Bench {
    fn new(count: usize) -> Bench {
        let (mut pair, conn) = Pair::connected(1500);
        pair.nodes[1].bytes.takes_runs = true;
        pair.echoes = false;
        let calls = send(&mut pair, conn, count);
        pair.run(10 * MS, |_| false);
        let [
            Event::RunArrived {
                run,
                conn: at_server,
            },
        ] = pair.nodes[1].events[..]
        else {
            panic!("{:?}", pair.nodes[1].events);
        };
        assert_eq!(pair.nodes[1].bytes.runs[&run], numbered(count));
        Bench {
            pair,
            conn,
            calls,
            run,
            at_server,
        }
    }

    fn reply(&mut self, answered: u64) {
        let now = self.pair.now;
        self.pair.nodes[1].engine.reply_run(now, self.run, answered);
    }

    fn take_out(&mut self, at: u32) -> Result<InboundCall, Errno> {
        self.pair.nodes[1].engine.take_out(self.run, at)
    }

    fn fail(&mut self, call: InboundCall, errno: Errno) -> Result<(), Errno> {
        self.pair.nodes[1].engine.error(self.pair.now, call, errno)
    }

    fn cancel(&mut self, at: usize, cancel: Cancel) {
        let (now, call) = (self.pair.now, self.calls[at]);
        let done = self.pair.nodes[0].engine.cancel(now, call, cancel);
        done.expect("it waits");
    }

    /// Which messages left the run, and as what.
    fn taken_out(&self) -> Vec<(u32, InboundCall)> {
        let events = self.pair.nodes[1].events.iter();
        let taken_out = events.filter_map(|event| match *event {
            Event::TakenOut { run, at, call } if run == self.run => Some((at, call)),
            _ => None,
        });
        taken_out.collect()
    }

    fn has_told(&self, event: Event) -> usize {
        let events = self.pair.nodes[1].events.iter();
        events.filter(|its| **its == event).count()
    }

    /// How each of the calls ended: its status or error. None ended twice.
    fn outcomes(&self) -> Vec<Result<i64, Errno>> {
        let outcome = |call: &OutboundCall| {
            let events = self.pair.nodes[0].events.iter();
            let its: Vec<_> = events
                .filter_map(|event| match *event {
                    Event::Replied {
                        call: its, status, ..
                    } if its == *call => Some(Ok(status)),
                    Event::Failed { call: its, errno } if its == *call => Some(Err(errno)),
                    _ => None,
                })
                .collect();
            let [one] = its[..] else {
                panic!("{call:?}: {its:?}");
            };
            one
        };
        self.calls.iter().map(outcome).collect()
    }

    /// All is over: nothing is left of the run on either node, and that was told once.
    fn assert_over(&mut self) {
        self.pair.settle();
        assert_eq!(self.has_told(Event::RunDone { run: self.run }), 1);
        for node in &self.pair.nodes {
            let load = node.engine.load();
            assert_eq!((load.inbound_calls, load.outbound_calls), (0, 0));
        }
        // A handle of the past finds nothing.
        self.reply(u64::MAX);
        assert_eq!(self.take_out(0), Err(Errno::ESRCH));
    }
}

/// Messages that say which they are.
fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| vec![at as u8; 5]).collect()
}

fn send(pair: &mut Pair, conn: OutboundConn, count: usize) -> Vec<OutboundCall> {
    let messages = numbered(count);
    let calls = messages.iter().map(|message| pair.send(conn, message));
    calls.collect()
}

#[test]
fn a_whole_run_is_answered_at_once() {
    for count in [2, 63, RUN_MESSAGES_MAX] {
        let mut bench = Bench::new(count);
        bench.reply(u64::MAX);
        bench.assert_over();
        assert_eq!(bench.outcomes(), vec![Ok(0); count]);
    }
}

#[test]
fn a_long_record_makes_several_runs_and_one_that_is_left_comes_by_itself() {
    let (mut pair, conn) = Pair::connected(1500);
    pair.nodes[1].bytes.takes_runs = true;
    send(&mut pair, conn, 2 * RUN_MESSAGES_MAX + 1);
    pair.run(10 * MS, |_| false);
    let lens: Vec<usize> = pair.nodes[1].bytes.runs.values().map(Vec::len).collect();
    assert_eq!(lens, [RUN_MESSAGES_MAX, RUN_MESSAGES_MAX]);
    let runs: Vec<InboundRun> = pair.nodes[1].bytes.runs.keys().copied().collect();
    for run in runs {
        pair.nodes[1].engine.reply_run(pair.now, run, u64::MAX);
    }
    pair.settle();
    let load = pair.nodes[1].engine.load();
    assert_eq!((load.inbound_calls, load.inbound_conns), (0, 1));
}

#[test]
fn answers_come_in_any_order_and_a_second_one_is_none() {
    let mut bench = Bench::new(RUN_MESSAGES_MAX);
    for answered in [1 << 63, 1 << 63 | 1 << 5, 0xff00, 1 | 1 << 2, 0] {
        bench.reply(answered);
        bench.pair.run(MS, |_| false);
    }
    assert_eq!(bench.has_told(Event::RunDone { run: bench.run }), 0);
    bench.reply(u64::MAX);
    bench.reply(u64::MAX);
    bench.assert_over();
    assert_eq!(bench.outcomes(), vec![Ok(0); RUN_MESSAGES_MAX]);
    assert!(bench.taken_out().is_empty());
}

#[test]
fn one_that_is_taken_out_is_a_call_by_itself() {
    let mut bench = Bench::new(4);
    for at in [4, 63, 64, u32::MAX] {
        assert_eq!(bench.take_out(at), Err(Errno::ESRCH), "{at}");
    }
    let call = bench.take_out(2).expect("it waits");
    assert_eq!(bench.take_out(2), Ok(call));
    let now = bench.pair.now;
    bench.pair.nodes[1]
        .bytes
        .answers
        .insert(call, b"mine".to_vec());
    let engine = &mut bench.pair.nodes[1].engine;
    engine.reply(now, call, 9, 4).expect("the client waits");
    bench.reply(0b1111);
    assert_eq!(bench.fail(call, GONE), Err(Errno::ESRCH), "one answer each");
    assert_eq!(bench.take_out(1), Err(Errno::ESRCH), "it is answered");
    bench.assert_over();
    assert_eq!(bench.outcomes(), [Ok(0), Ok(0), Ok(9), Ok(0)]);
    assert_eq!(bench.pair.nodes[0].bytes.replies[&bench.calls[2]], b"mine");
    assert_eq!(bench.has_told(Event::ReplyDone { call }), 1);
    assert!(bench.taken_out().is_empty(), "who took it out knows");
}

#[test]
fn a_run_lasts_as_long_as_one_that_was_taken_out() {
    let mut bench = Bench::new(2);
    let call = bench.take_out(0).expect("it waits");
    bench.reply(0b10);
    bench.pair.settle();
    assert_eq!(bench.has_told(Event::RunDone { run: bench.run }), 0);
    bench.fail(call, GONE).expect("the client waits");
    bench.assert_over();
    assert_eq!(bench.outcomes(), [Err(GONE), Ok(0)]);
}

#[test]
fn who_wants_out_leaves_its_run_and_the_others_stay() {
    let mut bench = Bench::new(3);
    bench.cancel(1, Cancel::Unblock(Errno::EINTR));
    bench.pair.run(MS, |_| false);
    let [(1, call)] = bench.taken_out()[..] else {
        panic!("{:?}", bench.taken_out());
    };
    let cancel = Cancel::Unblock(Errno::EINTR);
    assert_eq!(bench.has_told(Event::CancelRequested { call, cancel }), 1);
    assert_eq!(bench.take_out(1), Ok(call));
    bench.fail(call, Errno::EINTR).expect("the client waits");
    bench.reply(0b101);
    bench.assert_over();
    assert_eq!(bench.outcomes(), [Ok(0), Err(Errno::EINTR), Ok(0)]);
}

/// The server answered before its node had told of the cancel.
#[test]
fn an_answer_to_the_run_is_good_for_one_that_was_just_taken_out() {
    let mut bench = Bench::new(3);
    bench.cancel(1, Cancel::Unblock(Errno::EINTR));
    bench.pair.run(MS, |_| false);
    bench.reply(0b111);
    bench.assert_over();
    assert_eq!(bench.outcomes(), [Ok(0); 3]);
}

#[test]
fn an_answer_and_a_cancel_that_cross_make_one_outcome() {
    let mut bench = Bench::new(3);
    bench.reply(0b010);
    bench.pair.pump(1);
    bench.cancel(1, Cancel::Unblock(Errno::EINTR));
    bench.pair.run(MS, |_| false);
    assert!(bench.taken_out().is_empty(), "it is answered");
    bench.reply(0b101);
    bench.assert_over();
    assert_eq!(bench.outcomes(), [Ok(0); 3]);
}

#[test]
fn all_that_are_abandoned_end_their_run() {
    let mut bench = Bench::new(3);
    (0..3).for_each(|at| bench.cancel(at, Cancel::Abandon));
    bench.pair.settle();
    assert_eq!(bench.taken_out().len(), 3);
    for (_, call) in bench.taken_out() {
        assert_eq!(bench.has_told(Event::Abandoned { call }), 1);
    }
    bench.assert_over();
}

/// Whether node 1 has sent the head of an answer with bytes since frame `from`.
fn has_sent_reply(pair: &Pair, from: usize) -> bool {
    let mut frames = pair.sent[from..].iter().filter(|(by, _)| *by == 1);
    frames.any(|(_, frame)| {
        let frame = Frame::parse(frame, 0x88b5, false).expect("the engine wrote it");
        let mut records = frame.records();
        records.any(|record| matches!(record, Ok(Record::Reply { .. })))
    })
}

#[test]
fn an_answer_that_nobody_wants_any_more_keeps_back_none_behind_it() {
    let mut bench = Bench::new(2);
    let (conn, alone) = (bench.conn, b"alone");
    let call = bench.pair.send(conn, alone);
    bench.pair.run(10 * MS, |_| false);
    let arrived = |event: &Event| match *event {
        Event::MessageArrived { call, .. } => Some(call),
        _ => None,
    };
    let inbound = bench.pair.nodes[1].events.iter().find_map(arrived);
    bench.cancel(0, Cancel::Abandon);
    bench.pair.pump(0);
    let (by, abandon) = bench.pair.sent.last().expect("it goes").clone();
    assert_eq!(by, 0);
    // Both answers stand in the queue as the first of them loses its meaning.
    bench.reply(0b01);
    bench.pair.echo(1, inbound.expect("it came"));
    let before = bench.pair.sent.len();
    bench.pair.deliver(1, &abandon);
    assert!(has_sent_reply(&bench.pair, before));
    bench.reply(0b10);
    bench.assert_over();
    assert_eq!(bench.pair.nodes[0].bytes.replies[&call], alone);
}

#[test]
fn answers_that_are_lost_come_again() {
    let mut bench = Bench::new(RUN_MESSAGES_MAX);
    for answered in [0x0f0f, 0xff00_0000_0000_0000, u64::MAX] {
        bench.pair.cut = vec![LinkId(0)];
        bench.reply(answered);
        bench.pair.run(50 * MS, |_| false);
        bench.pair.cut.clear();
        bench.pair.run(500 * MS, |_| false);
    }
    bench.assert_over();
    assert_eq!(bench.outcomes(), vec![Ok(0); RUN_MESSAGES_MAX]);
}

/// They counted as lost, went again, and then the first of them arrive after all.
#[test]
fn answers_that_are_only_late_are_one_each() {
    let mut bench = Bench::new(8);
    bench.pair.cut = vec![LinkId(0)];
    let before = bench.pair.sent.len();
    for answered in [0b11, 0b0011_1100, 0b1100_0000] {
        bench.reply(answered);
        bench.pair.run(200 * MS, |_| false);
    }
    bench.pair.cut.clear();
    let late: Vec<_> = bench.pair.sent[before..].to_vec();
    let count = late.iter().filter(|(by, _)| *by == 1).count();
    assert!(count > 3, "only {count} frames: none went again");
    for (by, frame) in late {
        bench.pair.deliver(1 - by, &frame);
    }
    bench.assert_over();
    assert_eq!(bench.outcomes(), [Ok(0); 8]);
}

#[test]
fn the_end_of_a_connection_answers_all_that_wait_in_its_runs() {
    let mut bench = Bench::new(4);
    let call = bench.take_out(3).expect("it waits");
    bench.reply(0b0001);
    let (now, conn) = (bench.pair.now, bench.at_server);
    let engine = &mut bench.pair.nodes[1].engine;
    engine.close(now, conn, GONE).expect("it is open");
    assert_eq!(bench.fail(call, GONE), Err(Errno::ESRCH), "it is answered");
    bench.reply(0b1111);
    bench.pair.settle();
    let taken_out: Vec<u32> = bench.taken_out().iter().map(|(at, _)| *at).collect();
    assert_eq!(taken_out, [1, 2]);
    bench.assert_over();
    assert_eq!(bench.outcomes(), [Ok(0), Err(GONE), Err(GONE), Err(GONE)]);
}

#[test]
fn the_end_of_a_session_ends_its_runs() {
    let mut bench = Bench::new(4);
    let call = bench.take_out(3).expect("it waits");
    bench.reply(0b0001);
    bench.pair.nodes[1].events.clear();
    let node = &mut bench.pair.nodes[1];
    let peer = node.engine.nodes().next().expect("it knows one").peer;
    node.engine.forget(bench.pair.now, peer).expect("known");
    bench.pair.settle();
    let taken_out = bench.taken_out();
    assert_eq!(taken_out.len(), 2);
    for call in taken_out.iter().map(|(_, call)| *call).chain([call]) {
        assert_eq!(bench.has_told(Event::Abandoned { call }), 1);
    }
    assert_eq!(bench.pair.nodes[1].engine.load(), Load::default());
    bench.assert_over();
}

/// A client that lets its connection go has gone from all that it sent.
#[test]
fn a_connection_that_is_let_go_leaves_no_run() {
    let mut bench = Bench::new(4);
    bench.reply(0b0110);
    let now = bench.pair.now;
    let engine = &mut bench.pair.nodes[0].engine;
    engine.detach(now, bench.conn).expect("it is open");
    bench.assert_over();
    assert_eq!(bench.pair.nodes[1].engine.load(), Load::default());
}
