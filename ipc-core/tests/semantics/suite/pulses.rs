//! PLS: pulses.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ipc_core::{
    AttachOptions, Received, SpeaksFor,
    abi::{Chid, Coid, Credentials, Errno, Nd, Pid, PulseCode, Scoid},
    set_priority,
};

use crate::suite::{
    child::{self, NOBODY, say},
    echo::{Server, channel, connect, introduce, message, pulse},
    place::{self, Difference, differs},
};

// covers: PLS-1, RCV-3
#[test]
fn a_pulse_carries_its_code_its_value_and_its_priority() {
    let channel = channel();
    let connection = connect(channel.chid());
    let scoid = introduce(&channel, &connection);
    for (code, value) in [(0, i64::MIN), (127, i64::MAX), (5, -1)] {
        connection
            .send_pulse(Some(77), PulseCode(code), value)
            .expect("there is room");
        let pulse = pulse(&channel);
        assert_eq!(
            (pulse.code, pulse.value, pulse.priority),
            (PulseCode(code), value, 77)
        );
        assert_eq!(pulse.scoid, scoid);
    }
}

// covers: PLS-1
#[test]
fn without_a_priority_the_callers_counts() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        scope.spawn(|| {
            set_priority(33);
            connection
                .send_pulse(None, PulseCode(0), 0)
                .expect("there is room");
        });
        assert_eq!(pulse(&channel).priority, 33);
    });
}

// covers: PLS-1, PLS-4
#[test]
fn an_application_cannot_send_the_systems_pulses() {
    let channel = channel();
    let connection = connect(channel.chid());
    for code in [PulseCode::UNBLOCK, PulseCode::DISCONNECT, PulseCode(-1)] {
        assert_eq!(connection.send_pulse(Some(1), code, 1), Err(Errno::EINVAL));
    }
}

// covers: PLS-2
#[test]
fn a_full_queue_is_eagain_and_what_was_accepted_arrives_once_in_order() {
    let channel = channel();
    let connection = connect(channel.chid());
    let accepted = (0..).take_while(|value| {
        let sent = connection.send_pulse(Some(1), PulseCode(0), *value);
        assert!(matches!(sent, Ok(()) | Err(Errno::EAGAIN)), "{sent:?}");
        sent.is_ok()
    });
    let accepted: Vec<i64> = accepted.collect();
    assert!(!accepted.is_empty());
    for value in &accepted {
        assert_eq!(pulse(&channel).value, *value);
    }
    assert!(matches!(channel.try_receive(), Ok(None)));
    connection
        .send_pulse(Some(1), PulseCode(0), -1)
        .expect("there is room again");
    assert_eq!(pulse(&channel).value, -1);
}

// covers: RCV-1, PLS-2
#[test]
fn pulses_are_received_before_a_message_that_their_sender_sent_after_them() {
    let channel = channel();
    let connection = connect(channel.chid());
    let lens = [0, 80, 300, 40_000];
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut value = 0;
            for round in 0..200 {
                for _ in 0..round % 4 {
                    connection
                        .send_pulse(None, PulseCode(0), value)
                        .expect("there is room");
                    value += 1;
                }
                let message = vec![0; lens[round % lens.len()]];
                let answer = connection.send(&message, &mut []);
                assert_eq!(answer.map(|reply| reply.status), Ok(value));
            }
        });
        let mut pulses = 0;
        let mut messages = 0;
        while messages < 200 {
            match channel.receive().expect("it is our channel") {
                Received::Pulse(pulse) => {
                    assert_eq!(pulse.value, pulses);
                    pulses += 1;
                }
                Received::Message(message) => {
                    message.reply(pulses, b"").expect("the client waits");
                    messages += 1;
                }
            }
        }
    });
}

// covers: PLS-2
#[test]
fn pulses_of_many_senders_all_arrive_once_and_in_each_ones_order() {
    const SENDERS: i64 = 20;
    const EACH: i64 = 500;
    let channel = channel();
    let chid = channel.chid();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let connection = connect(chid);
                for number in 0..EACH {
                    while let Err(error) =
                        connection.send_pulse(Some(1), PulseCode(0), sender << 32 | number)
                    {
                        assert_eq!(error, Errno::EAGAIN);
                        thread::yield_now();
                    }
                }
                // The connection must outlive what was sent over it only until it is received.
                while !RECEIVED_ALL.load(Ordering::Acquire) {
                    thread::yield_now();
                }
            });
        }
        static RECEIVED_ALL: AtomicBool = AtomicBool::new(false);
        let mut next = vec![0; SENDERS as usize];
        for _ in 0..SENDERS * EACH {
            let value = pulse(&channel).value;
            let (sender, number) = ((value >> 32) as usize, value & 0xffff_ffff);
            assert_eq!(number, next[sender], "of sender {sender}");
            next[sender] += 1;
        }
        RECEIVED_ALL.store(true, Ordering::Release);
        assert!(matches!(channel.try_receive(), Ok(None)));
    });
}

// covers: PLS-2
#[test]
fn a_pulse_sent_before_its_sender_detached_still_arrives() {
    let channel = channel();
    for value in 0..100 {
        let connection = connect(channel.chid());
        connection
            .send_pulse(Some(1), PulseCode(0), value)
            .expect("there is room");
        drop(connection);
        assert_eq!(pulse(&channel).value, value);
    }
}

// covers: PLS-2, CHN-3
#[test]
fn pulses_of_connections_that_go_at_once_all_arrive_while_others_come() {
    const LAPS: i64 = 100;
    let channel = channel();
    let server = Server::echo();
    thread::scope(|scope| {
        // Connections that begin as those with the pulses end: their places are taken at the same moment.
        for _ in 0..2 {
            scope.spawn(|| {
                for lap in 0..LAPS {
                    let sent = connect(server.chid).send(&lap.to_le_bytes(), &mut []);
                    assert_eq!(sent.expect("the server serves").status, 8);
                }
            });
        }
        scope.spawn(|| {
            for value in 0..LAPS {
                let sent = connect(channel.chid()).send_pulse(Some(1), PulseCode(0), value);
                sent.expect("there is room");
            }
        });
        let arrived = (0..LAPS).map(|_| pulse(&channel).value);
        assert!(arrived.collect::<BTreeSet<_>>().into_iter().eq(0..LAPS));
    });
}

// covers: PLS-2
#[test]
fn a_process_sends_pulses_to_its_own_channel_until_that_is_full() {
    let channel = channel();
    let mut accepted = 0;
    while channel.send_pulse(9, PulseCode(1), accepted).is_ok() {
        accepted += 1;
    }
    assert_eq!(
        channel.send_pulse(9, PulseCode(1), accepted),
        Err(Errno::EAGAIN)
    );
    for value in 0..accepted {
        let pulse = pulse(&channel);
        assert_eq!((pulse.value, pulse.scoid), (value, Scoid(0)));
    }
    assert!(matches!(channel.try_receive(), Ok(None::<Received>)));
}

// covers: PLS-3, CHN-6
#[test]
fn another_users_pulse_is_eperm_and_its_message_is_not() {
    let channel = channel();
    let test = "pulses::inside_another_user";
    let Some(client) = place::start_as_nobody(test, channel.chid()) else {
        return;
    };
    let message = message(&channel);
    assert_eq!(message.client().pid, client.pid());
    assert_eq!(message.client().credentials.uid, NOBODY);
    message.reply(0, b"").expect("the client waits");
    client.end();
    assert!(matches!(channel.try_receive(), Ok(None)));
}

#[test]
#[ignore = "run by another_users_pulse_is_eperm_and_its_message_is_not as another user"]
fn inside_another_user() {
    let chid = Chid(child::argument().parse().expect("a number"));
    let connection = place::attach(child::parent(), chid).expect("it lives");
    let pulse = connection.send_pulse(Some(1), PulseCode(0), 0);
    assert_eq!(pulse, Err(Errno::EPERM));
    assert!(connection.send(b"x", &mut []).is_ok());
}

// covers: PLS-3
#[test]
fn a_client_that_does_not_refuse_itself_is_refused_by_the_server() {
    if differs(Difference::OneNode) {
        return;
    }
    let channel = channel();
    let speaks_for = SpeaksFor {
        nd: Nd(3),
        pid: Pid(4),
        coid: Coid(5),
        srcnd: Nd(6),
        credentials: Credentials {
            uid: NOBODY,
            gid: NOBODY,
        },
    };
    let options = AttachOptions {
        speaks_for: Some(speaks_for),
        ..AttachOptions::default()
    };
    let connection = place::attach_with(Pid::SELF, channel.chid(), &options)
        .expect("this process owns the node");
    // The library looks at whose process this is, and that user may.
    assert_eq!(connection.send_pulse(Some(1), PulseCode(0), 0), Ok(()));
    assert!(matches!(channel.try_receive(), Ok(None)));
    assert_eq!(channel.stats().faults, 1);
}

// covers: PLS-3
#[test]
fn a_privileged_process_sends_pulses_to_anybody() {
    let test = "pulses::inside_another_users_server";
    let Some(mut server) = place::start_as_nobody(test, "") else {
        return;
    };
    let (pid, chid) = (server.pid(), server.said_chid());
    let connection = place::attach(pid, chid).expect("it lives");
    assert_eq!(connection.send_pulse(Some(1), PulseCode(7), 8), Ok(()));
    assert_eq!(server.said(), "7 8");
    server.end();
}

#[test]
#[ignore = "run by a_privileged_process_sends_pulses_to_anybody as another user"]
fn inside_another_users_server() {
    let channel = channel();
    say(channel.chid());
    let pulse = pulse(&channel);
    say(format!("{} {}", pulse.code.0, pulse.value));
}
