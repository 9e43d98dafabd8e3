//! Channels that are destroyed, clients that detach, servers that go.

use std::{sync::Arc, thread, time::Duration};

use ipc_core::{
    Channel, Connection,
    abi::{ChannelFlags, Chid, Errno, Nd, Pid, PulseCode, Scoid},
};

use crate::support::{channel, message, pulse};

// covers: CHN-1
#[test]
fn destroying_a_channel_unblocks_everybody_with_esrch() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        let received = scope.spawn(|| connection.send(b"received", &mut []));
        let held = message(channel.receive().unwrap());
        let queued = scope.spawn(|| connection.send(b"queued", &mut []));
        thread::sleep(Duration::from_millis(20));
        let id = held.into_rcvid();
        drop(Arc::into_inner(channel).unwrap());
        assert_eq!(received.join().unwrap(), Err(Errno::ESRCH));
        assert_eq!(queued.join().unwrap(), Err(Errno::ESRCH));
        assert!(id.0 > 0);
    });
    assert_eq!(connection.send(b"", &mut []), Err(Errno::EBADF));
}

// covers: CHN-3, CHN-6
#[test]
fn one_disconnect_pulse_when_the_last_connection_of_a_client_goes() {
    let (channel, first) = channel(ChannelFlags::DISCONNECT);
    let second = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    let scoid = first.server_info().scoid;
    assert_eq!(second.server_info().scoid, scoid);
    drop(first);
    assert!(channel.receive_timeout(Duration::from_millis(30)).is_err());
    drop(second);
    let pulse = pulse(channel.receive().unwrap());
    assert_eq!((pulse.code, pulse.scoid), (PulseCode::DISCONNECT, scoid));
    let third = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    assert_ne!(
        third.server_info().scoid,
        scoid,
        "not used again before it is detached"
    );
    channel.detach_client(scoid).unwrap();
    assert_eq!(channel.detach_client(scoid), Err(Errno::EINVAL));
    assert_eq!(channel.client_info(Scoid(99)).err(), Some(Errno::EINVAL));
}

// covers: CHN-4, PLS-4
#[test]
fn a_coid_death_pulse_tells_of_a_server_that_went() {
    let watcher = Channel::create(ChannelFlags::COID_DISCONNECT).unwrap();
    let (channel, connection) = channel(ChannelFlags::empty());
    drop(channel);
    loop {
        let pulse = watcher.receive_pulse().unwrap();
        if pulse.value == i64::from(connection.coid().0) {
            assert_eq!(pulse.code, PulseCode::COID_DEATH);
            break;
        }
    }
    assert_eq!(connection.send(b"", &mut []), Err(Errno::EBADF));
}

// covers: CHN-7
#[test]
fn detaching_gives_blocked_threads_ebadf() {
    let (channel, connection) = channel(ChannelFlags::empty());
    thread::scope(|scope| {
        let blocked = scope.spawn(|| connection.send(b"", &mut []));
        let held = message(channel.receive().unwrap());
        connection.detach();
        assert_eq!(blocked.join().unwrap(), Err(Errno::EBADF));
        while held.info().srcmsglen == 0 && channel.info(held.rcvid()).is_ok() {
            thread::yield_now();
        }
        assert_eq!(held.reply(0, b""), Err(Errno::ESRCH));
    });
}

// covers: CHN-6
#[test]
fn attaching_to_nobody_is_esrch() {
    assert_eq!(
        Connection::attach(Nd::LOCAL, Pid::SELF, Chid(999)).err(),
        Some(Errno::ESRCH)
    );
    assert_eq!(
        Connection::attach(Nd::LOCAL, Pid(0x7fff_fff0), Chid(1)).err(),
        Some(Errno::ESRCH)
    );
}
