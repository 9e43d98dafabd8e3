//! What an idle connection costs: memory is counted from the kernel's own books.

use std::{fs, sync::Arc, thread};

use ipc_core::{
    Channel, Connection, Received,
    abi::{ChannelFlags, Nd, Pid, PulseCode},
};

/// Bytes of memory that an idle connection may have touched, on each side.
const TOUCHED_MAX: usize = 16 << 10;

#[test]
fn an_idle_connection_has_touched_a_few_pages_on_each_side() {
    let channel = Arc::new(Channel::create(ChannelFlags::empty()).unwrap());
    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, channel.chid()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            while let Received::Message(message) = channel.receive().unwrap() {
                message.reply(0, &[1; 64]).unwrap();
            }
        });
        for _ in 0..1000 {
            connection.send(&[0; 64], &mut [0; 64]).unwrap();
        }
        channel.send_pulse(0, PulseCode(0), 0).unwrap();
    });
    let touched = resident_bytes("/memfd:qnet-region");
    assert_eq!(
        touched.len(),
        2,
        "client and server map it, both in this process"
    );
    assert!(
        touched
            .iter()
            .all(|bytes| (1..=TOUCHED_MAX).contains(bytes)),
        "{touched:?}"
    );
}

/// The resident bytes of each mapping of this process whose file is called `name`.
fn resident_bytes(name: &str) -> Vec<usize> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut found = Vec::new();
    let mut lines = smaps.lines();
    while let Some(line) = lines.next() {
        if line.contains(name) {
            let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            let kib: usize = rss.trim().trim_end_matches(" kB").parse().unwrap();
            found.push(kib << 10);
        }
    }
    found
}
