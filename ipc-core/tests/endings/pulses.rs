//! Pulses of clients that have gone.

use ipc_core::{
    AttachOptions, Channel, Connection, Received,
    abi::{
        Errno, Nd, Pid, PulseCode, Result,
        limits::{PULSES_KEPT_MAX, SLOTS_MAX},
    },
};

use crate::support::{channel, connections, until};

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
