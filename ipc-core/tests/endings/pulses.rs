//! Pulses of clients that have gone.

use ipc_core::{
    Alias, AttachOptions, Channel, Connection, Received,
    abi::{
        ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Result,
        limits::{PULSES_KEPT_MAX, SLOTS_MAX},
    },
    claim_alias, retire, set_runtime_dir,
};

use crate::{
    child,
    support::{channel, connections, until},
};

fn attach(channel: &Channel) -> Result<Connection> {
    let options = AttachOptions {
        slots: SLOTS_MAX,
        ..AttachOptions::default()
    };
    Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options)
}

// covers: PLS-2
#[test]
fn who_comes_and_goes_cannot_fill_a_server_up_with_pulses() {
    let channel = channel();
    let rounds_max = 2 * PULSES_KEPT_MAX / SLOTS_MAX as usize;
    let mut sent = 0;
    let refused = (0..rounds_max).find_map(|_| {
        let connection = match attach(&channel) {
            Ok(connection) => connection,
            Err(error) => return Some(error),
        };
        while connection.send_pulse(None, PulseCode(1), sent).is_ok() {
            sent += 1;
        }
        drop(connection);
        until("the hang-up", || connections(&channel) == 0);
        None
    });
    assert_eq!(refused, Some(Errno::EAGAIN), "{sent} pulses and no end");
    // What was sent arrives all the same, and then there is room again.
    for number in 0..sent {
        match channel.try_receive() {
            Ok(Some(Received::Pulse(pulse))) => assert_eq!(pulse.value, number),
            other => panic!("not a pulse: {other:?}"),
        }
    }
    attach(&channel).expect("there is room again");
}

// covers: PLS-2, NET-2
#[test]
fn who_comes_and_goes_cannot_fill_a_router_up_with_pulses_for_other_nodes() {
    child::run_alone("pulses::beside_a_router");
}

#[test]
#[ignore = "run by who_comes_and_goes_cannot_fill_a_router_up_with_pulses_for_other_nodes"]
fn beside_a_router() {
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    set_runtime_dir(dir.path().to_owned());
    let router = Channel::create(ChannelFlags::ROUTER).expect("a channel can be made");
    claim_alias(Alias::Qnet).expect("nobody has it here");
    let (living, mut at_once) = (attach_to_another_node(), 0);
    let living = living.expect("the router accepts");
    while living.send_pulse(None, PulseCode(2), 0).is_ok() {
        at_once += 1;
    }
    assert_eq!(
        at_once, SLOTS_MAX,
        "a living one has its share, and no more"
    );
    let rounds_max = 2 * PULSES_KEPT_MAX / SLOTS_MAX as usize;
    let mut sent = 0;
    let refused = (0..rounds_max).find_map(|_| {
        let connection = match attach_to_another_node() {
            Ok(connection) => connection,
            Err(error) => return Some(error),
        };
        while connection.send_pulse(None, PulseCode(1), sent).is_ok() {
            sent += 1;
        }
        drop(connection);
        until("the hang-up", || connections(&router) == 1);
        None
    });
    assert_eq!(refused, Some(Errno::EAGAIN), "{sent} pulses and no end");
    // What was sent arrives all the same, once and in order, and then there is room again.
    let mut number = 0;
    while let Some(routed) = router.try_receive_routed() {
        if routed.pulse.code == PulseCode(1) {
            assert_eq!(routed.pulse.value, number);
            number += 1;
        } else {
            at_once -= 1;
        }
    }
    assert_eq!((number, at_once), (sent, 0));
    attach_to_another_node().expect("there is room again");
    retire();
}

// covers: PLS-2
#[test]
fn pulses_for_a_node_that_is_held_wait_and_those_for_others_pass_them() {
    child::run_alone("pulses::beside_a_held_node");
}

#[test]
#[ignore = "run by pulses_for_a_node_that_is_held_wait_and_those_for_others_pass_them"]
fn beside_a_held_node() {
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    set_runtime_dir(dir.path().to_owned());
    let router = Channel::create(ChannelFlags::ROUTER).expect("a channel can be made");
    claim_alias(Alias::Qnet).expect("nobody has it here");
    let (held, other) = (Nd(5), Nd(6));
    let [to_held, leaver, to_other] = [held, held, other]
        .map(|nd| Connection::attach(nd, Pid(77), Chid(3)).expect("the router accepts"));
    let pulse = |connection: &Connection, value| {
        let sent = connection.send_pulse(None, PulseCode(1), value);
        sent.expect("there is room");
    };
    let receive = || {
        let routed = router.try_receive_routed()?;
        Some((routed.target.0, routed.pulse.value, routed.connection_id))
    };
    pulse(&to_held, 0);
    let (_, _, living) = receive().expect("nobody is held yet");
    router.hold_routed(held, true);
    (1..4).for_each(|value| pulse(&to_held, value));
    (4..6).for_each(|value| pulse(&leaver, value));
    assert_eq!(receive(), None);
    let asks_for_a_look = || {
        let is_ready = router.outside().arm(&mut Vec::new());
        router.outside().disarm();
        is_ready
    };
    assert!(
        !asks_for_a_look(),
        "a loop may sleep beside those that are held"
    );
    (0..2).for_each(|value| pulse(&to_other, value));
    assert!(asks_for_a_look());
    let passed: Vec<_> = std::iter::from_fn(receive).collect();
    assert!(matches!(passed[..], [(Nd(6), 0, _), (Nd(6), 1, _)]));
    assert!(!asks_for_a_look());

    drop(leaver);
    until("the hang-up", || connections(&router) == 2);
    // The end of a connection is a pulse of the router's own.
    while matches!(router.try_receive(), Ok(Some(_))) {}
    router.hold_routed(held, false);
    assert!(router.has_routed(living));
    let mut values = Vec::new();
    while let Some((_, value, id)) = receive() {
        let is_last = [3, 5].contains(&value);
        assert_eq!(router.has_routed(id), !is_last, "of one that has gone, too");
        values.push(value);
    }
    assert_eq!(values, [1, 2, 3, 4, 5]);
    assert!(!asks_for_a_look());
    retire();
}

fn attach_to_another_node() -> Result<Connection> {
    let options = AttachOptions {
        slots: SLOTS_MAX,
        ..AttachOptions::default()
    };
    Connection::attach_with(Nd(5), Pid(77), Chid(3), &options)
}
