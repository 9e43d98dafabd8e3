//! Short messages that are received together and answered apart, as a router does.

use ipc_core::{
    Channel, MessagesApart, Pipeline, PipelineOptions, Received,
    abi::{ChannelFlags, Errno, Pid, PulseCode, Rcvid, limits::APART_MIN},
};

use super::{LEN, pipeline_to, submit_all};
use crate::suite::{
    blocked::{on, until},
    echo::channel,
};

/// As many as are taken together, and some.
const COUNT: u64 = APART_MIN as u64 + 8;

fn client(channel: &Channel, reply_len_max: usize) -> Pipeline {
    let options = PipelineOptions {
        depth: 64,
        len_max: LEN,
        reply_len_max,
    };
    pipeline_to(Pid::SELF, channel.chid(), options)
}

/// Messages of a client that wants nothing but a status, taken together.
fn scene(flags: ChannelFlags) -> (Channel, Pipeline, MessagesApart) {
    let channel = Channel::create(flags).expect("a channel can be made");
    let mut client = client(&channel, 0);
    submit_all(&mut client, 0..COUNT);
    let mut apart = MessagesApart::with_capacity(64);
    assert_eq!(channel.try_receive_apart(&mut apart), Ok(true));
    assert_eq!(
        (apart.len(), apart.left()),
        (COUNT as usize, COUNT as usize)
    );
    for at in 0..apart.len() {
        assert_eq!(apart.bytes(at), (at as u64).to_ne_bytes());
        assert!(apart.tid(at).is_some());
    }
    assert_eq!(
        (apart.bytes(apart.len()), apart.tid(apart.len())),
        (&[][..], None)
    );
    assert_eq!(
        apart.client().map(|client| client.pid),
        Some(Pid::current())
    );
    (channel, client, apart)
}

/// Answers messages with their positions.
fn answer(apart: &mut MessagesApart, positions: impl IntoIterator<Item = usize>) {
    let answers: Vec<_> = positions.into_iter().map(|at| (at, at as i64)).collect();
    let mut wakes = Vec::new();
    assert_eq!(apart.reply_quietly(&answers, &mut wakes), Ok(()));
    for wake in wakes {
        wake.make();
    }
}

fn status(client: &mut Pipeline) -> Result<i64, Errno> {
    let answer = client.next(None).expect("something is in flight");
    answer.result.map(|reply| reply.reply().status)
}

// covers: RPL-1, RPL-2
#[test]
fn they_are_answered_in_any_order_each_once_and_the_client_goes_on() {
    let (channel, mut client, mut apart) = scene(ChannelFlags::empty());
    for round in 0..3 {
        let half = (0..COUNT as usize).filter(|at| at % 2 == 1);
        answer(&mut apart, half.rev());
        assert_eq!(apart.left() as u64, COUNT.div_ceil(2));
        // Those that are answered are passed over, and so are those that there are not.
        answer(&mut apart, 0..COUNT as usize + 3);
        assert!(apart.is_empty() && apart.connection_id().is_none());
        for at in 0..COUNT as i64 {
            assert_eq!(status(&mut client), Ok(at), "round {round}");
        }
        submit_all(&mut client, 0..COUNT);
        assert_eq!(channel.try_receive_apart(&mut apart), Ok(true));
    }
    let before = channel.stats();
    answer(&mut apart, 0..COUNT as usize);
    assert_eq!(channel.stats().replies - before.replies, COUNT);
    let mut wakes = Vec::new();
    assert_eq!(
        apart.reply_quietly(&[(0, -1)], &mut wakes),
        Err(Errno::EINVAL)
    );
}

// covers: RCV-1
#[test]
fn what_is_few_or_wants_bytes_or_comes_behind_a_pulse_is_left_to_the_other_ways() {
    let channel = channel();
    let mut apart = MessagesApart::with_capacity(64);
    let order = |channel: &Channel, count: u64| {
        let mut received = Vec::new();
        assert_eq!(
            channel.try_receive_many(64, &mut received),
            Ok(count as usize)
        );
        for (number, one) in (0..).zip(received) {
            match one {
                Received::Message(message) => {
                    let bytes = message.read_vec(0, LEN).expect("it waits");
                    assert_eq!(bytes, u64::to_ne_bytes(number));
                    message.reply(0, &[]).expect("it waits");
                }
                Received::Pulse(pulse) => assert_eq!((number, pulse.value), (0, 0)),
            }
        }
    };
    let mut few = client(&channel, 0);
    submit_all(&mut few, 0..APART_MIN as u64 - 1);
    assert_eq!(channel.try_receive_apart(&mut apart), Ok(false));
    order(&channel, APART_MIN as u64 - 1);
    drop(few);

    let mut wanting = client(&channel, LEN);
    submit_all(&mut wanting, 0..COUNT);
    assert_eq!(channel.try_receive_apart(&mut apart), Ok(false));
    order(&channel, COUNT);
    drop(wanting);

    let mut behind = client(&channel, 0);
    behind
        .send_pulse(None, PulseCode(1), 0)
        .expect("there is room");
    submit_all(&mut behind, 1..COUNT);
    assert_eq!(channel.try_receive_apart(&mut apart), Ok(false));
    order(&channel, COUNT);
    assert!(apart.is_empty());
}

// covers: CHN-2
#[test]
fn one_whose_client_wants_out_gets_a_receive_id_and_any_answer() {
    let (channel, mut client, mut apart) = scene(ChannelFlags::UNBLOCK);
    client.unblock(3).expect("it is in flight");
    client.unblock(5).expect("it is in flight");
    let unblock = || match channel.receive() {
        Ok(Received::Pulse(pulse)) if pulse.code == PulseCode::UNBLOCK => Rcvid(pulse.value),
        other => panic!("{other:?}"),
    };
    let ids = [unblock(), unblock()];
    assert_eq!(ids.map(|id| apart.position(id)), [Some(3), Some(5)]);
    assert_eq!(apart.position(Rcvid(0)), None);
    let taken = apart.take(3).expect("it was not answered");
    assert_eq!((taken.rcvid(), taken.len()), (ids[0], LEN));
    assert!(taken.info().unblock_requested);
    assert!(apart.take(3).is_none() && apart.take(COUNT as usize).is_none());
    taken.error(Errno::ENOSPC).expect("it waits");
    // The other is answered with all that are left.
    answer(&mut apart, 0..COUNT as usize);
    for at in 0..COUNT as i64 {
        let expected = if at == 3 { Err(Errno::ENOSPC) } else { Ok(at) };
        assert_eq!(status(&mut client), expected);
    }
}

// covers: CHN-2, RPL-1
#[test]
fn without_unblock_one_whose_client_wants_out_is_let_go_and_its_late_answer_reaches_nobody() {
    let (channel, mut client, mut apart) = scene(ChannelFlags::empty());
    client.unblock(0).expect("it is in flight");
    assert_eq!(status(&mut client), Err(Errno::EINTR));
    // Its slot has the next message.
    submit_all(&mut client, [77]);
    answer(&mut apart, 0..COUNT as usize);
    for at in 1..COUNT as i64 {
        assert_eq!(status(&mut client), Ok(at));
    }
    assert_eq!(client.in_flight(), 1, "nobody has answered the next one");
    let Ok(Received::Message(next)) = channel.receive() else {
        panic!("a message")
    };
    next.reply(9, &[]).expect("it waits");
    assert_eq!(status(&mut client), Ok(9));
}

// covers: DTH-2
#[test]
fn answers_of_a_client_that_has_gone_are_dropped() {
    let (channel, client, mut apart) = scene(ChannelFlags::empty());
    drop(client);
    until(|| on(channel.chid()).connections == 0);
    assert!(
        apart
            .take(1)
            .expect("it was not answered")
            .error(Errno::EIO)
            .is_err()
    );
    answer(&mut apart, 0..COUNT as usize);
    assert!(apart.is_empty());
}

// covers: RPL-6
#[test]
fn what_is_dropped_unanswered_fails_and_is_counted() {
    let (channel, mut client, mut apart) = scene(ChannelFlags::empty());
    answer(&mut apart, [1]);
    drop(apart);
    for at in 0..COUNT as i64 {
        let expected = if at == 1 { Ok(1) } else { Err(Errno::EIO) };
        assert_eq!(status(&mut client), expected);
    }
    assert_eq!(channel.stats().dropped_unanswered, COUNT - 1);
}

#[test]
fn who_asks_what_the_channel_holds_sees_them_and_disturbs_nothing() {
    let (channel, mut client, mut apart) = scene(ChannelFlags::empty());
    answer(&mut apart, [4]);
    assert_eq!(on(channel.chid()).reply_blocked as u64, COUNT - 1);
    answer(&mut apart, (0..COUNT as usize).rev());
    for at in 0..COUNT as i64 {
        assert_eq!(status(&mut client), Ok(at));
    }
}
