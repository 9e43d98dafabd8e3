//! Many messages at once, and what stays of them: memory is counted from the kernel's own books, in a process in which
//! nothing else happens.

use std::fs;

use ipc_core::{
    AttachOptions, Channel, Connection, Pipeline, PipelineOptions, Received,
    abi::{
        ChannelFlags, Nd, Pid, Rcvid,
        limits::{BATCH_MAX, SLOTS_MAX},
    },
};

/// Clients that fill their rings.
const BURST_CLIENTS: usize = 40;

/// Bytes that the server has of each message at least, as it came.
const MESSAGE_LEN: usize = 100;

#[test]
fn the_memory_of_a_burst_of_messages_is_given_back_once_they_are_answered() {
    let channel = Channel::create(ChannelFlags::empty()).unwrap();
    let mut pipelines: Vec<Pipeline> = (0..BURST_CLIENTS).map(|_| pipeline(&channel)).collect();
    let before = private_bytes();
    for pipeline in &mut pipelines {
        for _ in 0..SLOTS_MAX {
            pipeline.submit(&[1; 64]).unwrap();
        }
        pipeline.flush();
    }
    let mut ids: Vec<Rcvid> = Vec::new();
    let mut received = Vec::new();
    while channel.try_receive_many(BATCH_MAX, &mut received).unwrap() > 0 {
        ids.extend(received.drain(..).map(|received| match received {
            Received::Message(message) => message.into_rcvid(),
            Received::Pulse(pulse) => panic!("nobody sent {pulse:?}"),
        }));
    }
    let burst = ids.len();
    assert_eq!(burst, BURST_CLIENTS * SLOTS_MAX as usize);
    let full = private_bytes();
    assert!(full > before + burst * MESSAGE_LEN, "{before} then {full}");
    // One stays, and does not keep the others' memory.
    let stays = ids.swap_remove(burst / 2);
    for id in ids {
        channel.reply(id, 0, &[]).unwrap();
    }
    give_back_to_the_system();
    let after = private_bytes();
    let kept = after.saturating_sub(before);
    assert!(kept < (full - before) / 2, "{before}, {full}, then {after}");
    channel.reply(stays, 0, &[]).unwrap();
}

fn pipeline(channel: &Channel) -> Pipeline {
    let options = AttachOptions {
        slots: SLOTS_MAX,
        arena_len: 4096,
        ..AttachOptions::default()
    };
    let connection = Connection::attach_with(Nd::LOCAL, Pid::SELF, channel.chid(), &options);
    let options = PipelineOptions {
        depth: SLOTS_MAX,
        ..PipelineOptions::default()
    };
    Pipeline::new(connection.unwrap(), &options).unwrap()
}

/// What the C library's allocator keeps for the next time says nothing of who freed it.
fn give_back_to_the_system() {
    // SAFETY: it takes no pointer, and gives back only what is free.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Bytes of this process's own memory that are resident.
fn private_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() << 10
}
