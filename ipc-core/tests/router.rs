//! What a node's qnet needs of this crate: attaches that name another node come to it, and it may speak
//! for clients of other nodes. In a process of its own, as the aliases belong to the process.

use std::thread;

use ipc_core::{
    Alias, AttachOptions, Channel, Connection, Received, SpeaksFor,
    abi::{ChannelFlags, Chid, Coid, Credentials, Errno, Nd, Pid, PulseCode},
    claim_alias, retire, runtime_dir,
};

// covers: NET-2, CHN-6
#[test]
fn attaches_to_other_nodes_come_to_the_router_which_speaks_for_their_clients() {
    let dir = tempfile::tempdir().unwrap();
    // SAFETY: this is the only test of the file, and no other thread runs yet.
    unsafe { std::env::set_var("QNET_RUNTIME_DIR", dir.path()) };
    assert_eq!(runtime_dir(), dir.path());

    let target = (Nd(5), Pid(77), Chid(3));
    let nobody = Connection::attach(target.0, target.1, target.2);
    assert_eq!(nobody.err(), Some(Errno::ENETDOWN), "there is no qnet yet");

    let server = Channel::create(ChannelFlags::empty()).unwrap();
    let router = Channel::create(ChannelFlags::ROUTER).unwrap();
    claim_alias(Alias::Qnet).unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let connection = Connection::attach(target.0, target.1, target.2).unwrap();
            connection.send_pulse(None, PulseCode(3), 33).unwrap();
            connection.send(b"off", &mut []).unwrap().status
        });
        let Received::Message(outgoing) = router.receive().unwrap() else {
            panic!("a message")
        };
        assert_eq!(outgoing.target(), Some(target));
        let routed = router.try_receive_routed().unwrap();
        assert_eq!((routed.target, routed.pulse.value), (target, 33));
        assert_eq!(routed.connection_id, outgoing.connection_id());
        assert_eq!(router.try_receive_routed(), None);
        assert_eq!(outgoing.client().pid, Pid::current());

        let remote = SpeaksFor {
            nd: Nd(9),
            pid: Pid(4242),
            coid: Coid(6),
            srcnd: Nd(12),
            credentials: Credentials {
                uid: 65534,
                gid: 65534,
            },
        };
        let options = AttachOptions {
            speaks_for: Some(remote),
            ..AttachOptions::default()
        };
        let speaker =
            Connection::attach_with(Nd::LOCAL, Pid::SELF, server.chid(), &options).unwrap();
        let sender = scope.spawn(move || speaker.send(b"in", &mut []).unwrap().status);
        let Received::Message(incoming) = server.receive().unwrap() else {
            panic!("a message")
        };
        let info = incoming.info();
        assert_eq!(
            (info.nd, info.pid, info.coid, info.srcnd),
            (remote.nd, remote.pid, remote.coid, remote.srcnd)
        );
        assert_eq!(incoming.client().credentials, remote.credentials);
        assert_eq!(server.client_info(info.scoid).unwrap().pid, remote.pid);
        incoming.reply(1, b"").unwrap();
        outgoing.reply(sender.join().unwrap() + 1, b"").unwrap();
        assert_eq!(client.join().unwrap(), 2);
    });
    retire();
    let left = std::fs::read_dir(dir.path()).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    let lock = format!("{}.lock", nix::unistd::geteuid());
    assert_eq!(left, [lock.as_str()], "no name is left but the lock's");
}
