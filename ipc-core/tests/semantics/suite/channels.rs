//! CHN: channels and connections.

use std::{sync::Arc, thread, time::Duration};

use ipc_core::{
    AttachOptions, Channel, Connection, Received, Timeout,
    abi::{AttachFlags, ChannelFlags, Chid, Coid, Errno, Pid, PulseCode, Scoid},
};

use crate::suite::{
    blocked::{until, until_send_blocked},
    child::{self, say},
    echo::{Server, channel, connect, introduce, message, pulse},
    in_time::received_in_time,
    place,
};

// covers: CHN-1
#[test]
fn channel_ids_are_the_smallest_free_ones() {
    place::run_alone("channels::inside_channel_ids");
}

#[test]
#[ignore = "run by channel_ids_are_the_smallest_free_ones in a process without other channels"]
fn inside_channel_ids() {
    let mut channels: Vec<_> = (0..4).map(|_| channel()).collect();
    let ids: Vec<_> = channels.iter().map(Channel::chid).collect();
    assert_eq!(ids, [1, 2, 3, 4].map(Chid));
    drop(channels.remove(1));
    assert_eq!(channel().chid(), Chid(2));
}

/// A client that times out while it is REPLY-blocked on a channel with these flags.
fn times_out_reply_blocked(
    channel: &Channel,
    act: impl FnOnce(ipc_core::abi::Rcvid),
) -> ipc_core::abi::Result<ipc_core::Reply> {
    let connection = connect(channel.chid());
    introduce(channel, &connection);
    thread::scope(|scope| {
        let (client, received, _) = received_in_time(scope, &connection, channel, Timeout::all);
        act(received.into_rcvid());
        client.join().expect("no panic")
    })
}

// covers: CHN-2
#[test]
fn without_unblock_a_reply_blocked_client_leaves_at_once() {
    let channel = channel();
    let answer = times_out_reply_blocked(&channel, |id| {
        until(|| channel.info(id).is_err());
        assert_eq!(channel.reply(id, 0, b""), Err(Errno::ESRCH));
    });
    assert_eq!(answer, Err(Errno::ETIMEDOUT));
}

// covers: CHN-2, TMO-3, PLS-4
#[test]
fn with_unblock_the_server_is_told_once_and_its_answer_decides() {
    let channel = place::create(ChannelFlags::UNBLOCK);
    let answer = times_out_reply_blocked(&channel, |id| {
        let told = pulse(&channel);
        assert_eq!((told.code, told.value), (PulseCode::UNBLOCK, id.0));
        assert_eq!(
            channel.info(id).map(|info| info.unblock_requested),
            Ok(true)
        );
        let again = channel.receive_timeout(Duration::from_millis(50));
        assert!(matches!(again, Err(Errno::ETIMEDOUT)), "{again:?}");
        channel.reply(id, 9, b"").expect("the client stays blocked");
    });
    assert_eq!(answer.map(|reply| reply.status), Ok(9));
}

// covers: CHN-2
#[test]
fn a_reply_takes_a_queued_unblock_pulse_back() {
    let channel = place::create(ChannelFlags::UNBLOCK);
    let answer = times_out_reply_blocked(&channel, |id| {
        until(|| channel.info(id).is_ok_and(|info| info.unblock_requested));
        channel
            .error(id, Errno::EBUSY)
            .expect("the client stays blocked");
    });
    assert_eq!(answer, Err(Errno::EBUSY));
    assert!(matches!(channel.try_receive(), Ok(None)));
}

// covers: CHN-2, SND-5
#[test]
fn whatever_the_server_says_to_a_request_to_unblock_is_what_its_client_gets() {
    for errno in [
        Errno::EINTR,
        Errno::ECANCELED,
        Errno::ETIMEDOUT,
        Errno::ESRCH,
    ] {
        let channel = place::create(ChannelFlags::UNBLOCK);
        let connection = connect(channel.chid());
        let timeout = Timeout::reply(Duration::from_millis(20));
        thread::scope(|scope| {
            let client = scope.spawn(|| connection.send_timeout(b"x", &mut [], timeout));
            let id = message(&channel).into_rcvid();
            assert_eq!(pulse(&channel).code, PulseCode::UNBLOCK);
            assert_eq!(channel.error(id, errno), Ok(()));
            assert_eq!(client.join().expect("no panic"), Err(errno));
        });
    }
}

// covers: CHN-2
#[test]
fn a_send_blocked_client_withdraws_its_message_without_a_pulse() {
    let channel = place::create(ChannelFlags::UNBLOCK);
    let connection = connect(channel.chid());
    let timeout = Timeout::all(Duration::from_millis(20));
    assert_eq!(
        connection.send_timeout(b"x", &mut [], timeout),
        Err(Errno::ETIMEDOUT)
    );
    assert!(matches!(channel.try_receive(), Ok(None)));
}

// covers: CHN-3
#[test]
fn disconnect_tells_once_when_the_last_connection_of_a_process_goes() {
    let channel = place::create(ChannelFlags::DISCONNECT);
    let (first, second) = (connect(channel.chid()), connect(channel.chid()));
    let scoid = introduce(&channel, &first);
    assert_eq!(introduce(&channel, &second), scoid);
    drop(first);
    let quiet = channel.receive_timeout(Duration::from_millis(50));
    assert!(matches!(quiet, Err(Errno::ETIMEDOUT)), "{quiet:?}");
    drop(second);
    let told = pulse(&channel);
    assert_eq!((told.code, told.scoid), (PulseCode::DISCONNECT, scoid));
    assert!(matches!(channel.try_receive(), Ok(None)));
}

// covers: CHN-3
#[test]
fn a_scoid_is_not_used_again_before_the_server_detached_it() {
    let channel = place::create(ChannelFlags::DISCONNECT);
    let gone = introduce(&channel, &connect(channel.chid()));
    assert_eq!(pulse(&channel).scoid, gone);
    let next = connect(channel.chid());
    assert_ne!(introduce(&channel, &next), gone);
    assert!(channel.client_info(gone).is_ok());
    channel.detach_client(gone).expect("it has gone");
    assert_eq!(channel.detach_client(gone), Err(Errno::EINVAL));
    assert_eq!(channel.client_info(gone), Err(Errno::EINVAL));
}

// covers: CHN-4, PLS-4
#[test]
fn coid_disconnect_tells_of_each_connection_whose_server_is_gone() {
    let mut server = place::start("channels::inside_a_channel", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let listener = place::create(ChannelFlags::COID_DISCONNECT);
    let connections = [(), ()].map(|()| place::attach(pid, chid).expect("it lives"));
    for connection in &connections {
        connection.send(b"here I am", &mut []).expect("it lives");
    }
    server.kill();
    // Other tests of this process lose connections too.
    let mut missing: Vec<Coid> = connections.iter().map(Connection::coid).collect();
    while !missing.is_empty() {
        let told = pulse(&listener);
        assert_eq!(told.code, PulseCode::COID_DEATH);
        missing.retain(|coid| i64::from(coid.0) != told.value);
    }
    for connection in &connections {
        assert_eq!(connection.send(b"x", &mut []), Err(Errno::EBADF));
        assert_eq!(
            connection.send_pulse(None, PulseCode(0), 0),
            Err(Errno::EBADF)
        );
    }
}

// covers: CHN-5, PLS-4
#[test]
fn thread_death_tells_of_each_thread_that_ends() {
    place::run_alone("channels::inside_thread_death");
}

#[test]
#[ignore = "run by thread_death_tells_of_each_thread_that_ends in a process without other tests"]
fn inside_thread_death() {
    let (listener, server) = (place::create(ChannelFlags::THREAD_DEATH), Server::echo());
    let connection = connect(server.chid);
    // A full queue does not keep it out.
    while listener.send_pulse(9, PulseCode(1), 0).is_ok() {}
    let mut ended: Vec<i64> = Vec::new();
    for _ in 0..5 {
        let client = thread::scope(|scope| {
            let client = scope.spawn(|| {
                connection.send(b"x", &mut []).expect("it is answered");
                nix::unistd::gettid().as_raw()
            });
            client.join().expect("no panic")
        });
        ended.push(client.into());
    }
    let mut told = Vec::new();
    while told.len() < ended.len() {
        let pulse = pulse(&listener);
        if pulse.code == PulseCode::THREAD_DEATH {
            told.push(pulse.value);
        }
    }
    assert_eq!(told, ended);
}

// covers: CHN-5, RCV-6
#[test]
fn the_lengths_of_a_message_are_told_with_and_without_the_flags() {
    let asked = ChannelFlags::SENDER_LEN | ChannelFlags::REPLY_LEN;
    for flags in [ChannelFlags::empty(), asked] {
        let channel = place::create(flags);
        let connection = connect(channel.chid());
        thread::scope(|scope| {
            let client = scope.spawn(|| connection.send(&[1; 500], &mut [0; 300]));
            let message = message(&channel);
            let info = message.info();
            assert_eq!((info.srcmsglen, info.dstmsglen), (500, 300));
            message.reply(0, b"").expect("the client waits");
            assert!(client.join().expect("no panic").is_ok());
        });
    }
}

// covers: CHN-5
#[test]
fn a_private_channel_is_for_its_own_process() {
    let channel = place::create(ChannelFlags::PRIVATE);
    let own = place::attach(Pid::SELF, channel.chid());
    assert!(own.is_ok());
    place::start("channels::inside_a_private_channel", channel.chid()).end();
}

#[test]
#[ignore = "run by a_private_channel_is_for_its_own_process as another process"]
fn inside_a_private_channel() {
    let chid = Chid(child::argument().parse().expect("a number"));
    assert_eq!(place::refused(child::parent(), chid), Errno::EPERM);
}

// covers: CHN-6
#[test]
fn nobody_there_is_esrch() {
    let channel = channel();
    for (pid, chid) in [
        (Pid::SELF, Chid(9999)),
        (Pid::SELF, Chid(0)),
        (Pid::SELF, Chid(-1)),
        (Pid(i32::MAX), channel.chid()),
    ] {
        assert_eq!(place::refused(pid, chid), Errno::ESRCH);
    }
    introduce(
        &channel,
        &place::attach(Pid::current(), channel.chid()).expect("it lives"),
    );
}

// covers: CHN-6
#[test]
fn side_channel_ids_are_no_file_descriptors() {
    let channel = channel();
    let flags = AttachFlags::SIDE_CHANNEL;
    let options = AttachOptions {
        flags,
        ..AttachOptions::default()
    };
    let connections: Vec<_> = (0..3)
        .map(|_| place::attach_with(Pid::SELF, channel.chid(), &options).expect("it lives"))
        .collect();
    for connection in &connections {
        assert!(connection.coid().0 & Coid::SIDE_CHANNEL != 0);
        let same = connections
            .iter()
            .filter(|other| other.coid() == connection.coid())
            .count();
        assert_eq!(same, 1);
    }
}

// covers: CHN-6
#[test]
fn both_sides_know_whom_they_talk_to() {
    let mut server = place::start("channels::inside_a_channel", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let connection = place::attach(pid, chid).expect("it lives");
    let info = connection.server_info();
    assert_eq!(
        (info.nd, info.pid, info.chid),
        (place::server_nd(), pid, chid)
    );
    assert!(info.scoid > Scoid(0));
    // The child replies with the process and the user it takes this one for.
    let mut reply = [0; 64];
    let len = connection
        .send(b"who am I?", &mut reply)
        .expect("it is answered")
        .len;
    let expected = format!("{} {}", Pid::current(), nix::unistd::geteuid());
    assert_eq!(std::str::from_utf8(&reply[..len]), Ok(expected.as_str()));
}

#[test]
#[ignore = "run by tests that need a server in another process"]
fn inside_a_channel() {
    let channel = channel();
    say(channel.chid());
    while let Ok(received) = channel.receive() {
        if let Received::Message(message) = received {
            let client = channel.client_info(message.info().scoid).expect("it waits");
            let text = format!("{} {}", client.pid, client.credentials.uid);
            message.reply(0, text.as_bytes()).expect("it waits");
        }
    }
}

// covers: CHN-7
#[test]
fn detaching_one_connection_leaves_the_others_alone() {
    let server = Server::echo();
    let (first, second) = (connect(server.chid), connect(server.chid));
    first.detach();
    assert_eq!(first.send(b"x", &mut []), Err(Errno::EBADF));
    assert_eq!(second.send(b"x", &mut []).map(|reply| reply.status), Ok(1));
}

// covers: CHN-1
#[test]
fn attach_and_detach_in_many_threads_while_messages_flow() {
    let server = Server::echo();
    let steady = Arc::new(connect(server.chid));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let connection = connect(server.chid);
                    assert_eq!(
                        connection.send(b"ab", &mut []).map(|reply| reply.status),
                        Ok(2)
                    );
                }
            });
            scope.spawn(|| {
                for _ in 0..500 {
                    assert_eq!(
                        steady.send(b"abc", &mut []).map(|reply| reply.status),
                        Ok(3)
                    );
                }
            });
        }
    });
}

// covers: CHN-7, CHN-3
#[test]
fn a_client_that_the_server_detaches_is_cut_off() {
    let channel = channel();
    let connection = connect(channel.chid());
    thread::scope(|scope| {
        let client = scope.spawn(|| connection.send(b"x", &mut []));
        until_send_blocked(channel.chid(), 1);
        channel
            .detach_client(connection.server_info().scoid)
            .expect("it is connected");
        assert_eq!(client.join().expect("no panic"), Err(Errno::ESRCH));
    });
    assert_eq!(connection.send(b"x", &mut []), Err(Errno::EBADF));
}
