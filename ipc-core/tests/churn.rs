//! Connections that come and go while others send: nobody is forgotten.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Chid, Nd, Pid, PulseCode},
};

const CLIENTS: usize = 12;
const STOP: PulseCode = PulseCode(0);

// covers: CHN-3, SND-1, RCV-2
#[test]
fn clients_that_attach_and_detach_all_the_time_are_all_answered() {
    for servers in [1, 3] {
        let channel = Arc::new(Channel::create(ChannelFlags::DISCONNECT).unwrap());
        thread::scope(|scope| {
            let pool: Vec<_> = (0..servers)
                .map(|_| scope.spawn(|| serve(&channel)))
                .collect();
            let chid = channel.chid();
            let end = Instant::now() + Duration::from_secs(1);
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| scope.spawn(move || come_and_go(chid, client, end)))
                .collect();
            for client in clients {
                client.join().unwrap();
            }
            for _ in &pool {
                channel.send_pulse(0, STOP, 0).unwrap();
            }
        });
    }
}

fn serve(channel: &Channel) {
    loop {
        match channel.receive().unwrap() {
            Received::Message(message) => {
                let bytes = message.read_vec(0, message.len()).unwrap();
                message.reply(0, &bytes).unwrap();
            }
            Received::Pulse(pulse) if pulse.code == STOP => return,
            // The client may have attached again meanwhile, and then the id is still its own.
            Received::Pulse(pulse) => drop(channel.detach_client(pulse.scoid)),
        }
    }
}

/// Comes and goes until the end, and once at least: a machine may run this thread only then.
fn come_and_go(chid: Chid, client: usize, end: Instant) {
    loop {
        let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid).unwrap();
        for message in 0..=client % 5 {
            let sent = vec![message as u8; 1 + 37 * message];
            let mut reply = [0; 200];
            let len = connection.send(&sent, &mut reply).unwrap().len;
            assert_eq!(reply[..len], sent[..]);
        }
        if Instant::now() >= end {
            return;
        }
    }
}
