//! Every limit of the daemon, and the relations between them. Those of the protocol are
//! [`qnet_proto::limits`].

use nix::unistd::{SysconfVar, sysconf};

/// Receive buffers: fewer would run out within one burst at the largest MTU.
pub const RX_BUFFERS_MIN: usize = 32;
/// Receive buffers: more than a batch that the thread works off in one go gains nothing.
pub const RX_BUFFERS_MAX: usize = 1024;
/// Send buffers: fewer would not fill a batch at the largest MTU.
pub const TX_BUFFERS_MIN: usize = 32;
/// Send buffers: the ring's submission queue holds as many, and what else is submitted.
pub const TX_BUFFERS_MAX: usize = 512;
/// Submissions that the ring takes at one time.
pub const SUBMISSIONS: u32 = 1024;
/// Completions that the ring keeps: of all submissions, and one for each receive buffer.
pub const COMPLETIONS: u32 = 4096;
/// Rounds of cancelling at a link's end, before the kernel is believed to keep an operation for good.
pub const CANCEL_ROUNDS_MAX: usize = 64;
/// Words of doorbells that one sleep covers: the kernel's 128, less the relay's own.
pub const DOORBELL_WORDS_MAX: usize = 127;
/// Bytes of frames that are filled before they are handed over: the receiver has something to do meanwhile, and
/// the buffers are still in the cache when the kernel reads them.
pub const TRANSMIT_LEN: usize = 128 << 10;
/// Bytes of a message in one frame that the kernel gathers from where they lie: fewer are copied faster than they are
/// named to it.
pub const HOLE_LEN_MIN: usize = 4096;
/// Bytes of a fragment that seldom comes alone: the processor is asked for as many behind it.
pub const READ_AHEAD_LEN_MIN: usize = 1024;
/// Bytes that frames of a port may carry behind their Ethernet header from which on each is looked at before it is
/// received, so that the kernel puts its bytes where they are wanted: two system calls, instead of a part of one and a copy.
pub const PEEK_MTU_MIN: usize = 16 << 10;
/// Frames of no use after which a search through such a port gives up for now.
pub const REFUSED_MAX: usize = 64;
/// Lengths of the largest blocks of memory that the kernel keeps the bytes of a sent frame in. A frame that is a little
/// longer takes a block more, a small one.
pub const BLOCK_LENS: [usize; 3] = [32 << 10, 16 << 10, 8 << 10];
/// The part of a frame's length that is given up for it to need one block only: one in so many.
pub const BLOCK_SHARE: usize = 8;
/// Bytes of the places for frames that the thread takes from a socket itself with one system call: they are looked at
/// while they are in the cache.
pub const RUN_LEN: usize = 256 << 10;
/// Such frames at least, at the largest MTU that is not looked at before, and at most.
pub const RUN_FRAMES_MIN: usize = 16;
/// See [`RUN_FRAMES_MIN`].
pub const RUN_FRAMES_MAX: usize = 64;
/// Bytes of frames that a peer may have under way to this node, if the sockets keep as many: enough that neither of two busy
/// nodes waits for the other; a short call may have to wait for all of them.
pub const RECEIVE_WINDOW_LEN: u32 = 2 << 20;
/// Bytes of frames taken in one round: acknowledgements and answers get their turn between.
pub const RECEIVE_LEN: usize = 128 << 10;
/// Frames taken in one round: messages and answers get their turn between.
pub const FRAMES_PER_ROUND: usize = 256;
/// Messages of local clients taken in one round, and pulses: frames and answers get their turn between.
pub const MESSAGES_PER_ROUND: usize = 256;
/// Answers of local servers taken in one round: frames and messages get their turn between.
pub const ANSWERS_PER_ROUND: usize = 256;
/// Completions that end a rest before its time: a multishot receive gives one for all frames of a burst.
pub const COMPLETIONS_AT_REST: usize = 64;
/// Frames that a bad wire holds back at one time.
pub const HELD_FRAMES_MAX: usize = 8;

/// Attaches to local servers that may wait at one time, each on a thread; further ones queue.
pub const ATTACH_THREADS_MAX: usize = 16;
/// Of these, those for one server: a stopped one makes each of them wait as long as an attach may take.
pub const ATTACH_THREADS_PER_SERVER: usize = 4;
/// Attaches that wait for one node's clients: for as many as have connections, and for as many that have come and gone.
pub const ATTACHES_WAITING_MAX: usize = 2 * qnet_proto::limits::CONNS_MAX;
/// Connections of remote clients to one channel: the other half of what it accepts is for those of its own node.
pub const REMOTE_CONNECTIONS_PER_SERVER: usize = ipc_core::abi::limits::CONNECTIONS_MAX / 2;
/// Of the open files and mappings that this process may have, the part that is for remote clients: one in so many.
pub const REMOTE_SHARE: usize = 2;
/// Messages of one remote client that its server may have at one time; further ones are staged. The region of a
/// connection grows with it only as far as it is used; what the server itself notes is 5 bytes for each, from the
/// attach on.
pub const REMOTE_SLOTS: u32 = 1024;
/// Buffers for the bytes of runs that are kept for the next ones: as many as come in a round.
pub const SPARE_RUNS_MAX: usize = 64;
/// Messages up to this length are kept by themselves until the server has room: they travel inside their ring
/// entry, and need no buffer.
pub const SMALL_LEN_MAX: usize = 80;
/// Replies up to this length are copied out of their connection's region, so that their place is free before
/// they are known to have arrived.
pub const REPLY_COPIED_LEN_MAX: usize = 512;
/// Bytes of messages without a buffer that each node may have staged at one time, whatever others have: a few that
/// each came as far as they may unasked.
pub const STAGED_OWN_LEN: usize = 64 << 10;
/// The same that nodes have in common beyond these. One of them takes no more than is left to the others.
pub const STAGED_COMMON_LEN: usize = 16 << 20;
/// Bytes that long messages of each node's clients, and their answers, may take in the regions of their connections,
/// whatever others have.
pub const LENT_OWN_LEN: usize = 1 << 20;
/// The part of this machine's memory that nodes have in common for them beyond these: one in so many.
pub const LENT_SHARE: usize = 2;
/// The same in bytes, at least: with half of it a node has room for some of the longest messages and answers.
pub const LENT_COMMON_LEN_MIN: usize = 128 << 20;
/// The same in bytes, at most.
pub const LENT_COMMON_LEN_MAX: usize = 4 << 30;
/// Bytes that connections of remote clients may keep in memory for long messages to come: beyond these, each that falls
/// idle gives its own back. Four that pass the longest messages and replies one after the other stay below it.
pub const KEPT_LEN_MAX: usize = 128 << 20;
/// Bytes that a connection keeps in any case: to get so little anew costs more than it takes.
pub const KEPT_LEN_MIN: usize = 16 << 10;
/// Pulses of one remote client that wait for the attach to its server, or for room in the server's queue:
/// no client has more under way, as each holds a slot of its connection until it is taken.
pub const PULSES_WAITING_MAX: usize = ipc_core::abi::limits::SLOTS_MAX as usize;
/// Pulses that a server took before their client's node is told, unless none is left waiting.
pub const PULSES_TAKEN_EVERY: u32 = 8;
/// Connections of remote clients that have gone and whose pulses still wait for room.
pub const LINGERING_MAX: usize = 256;
/// How often a queue that had no room for a remote client's pulse is looked at again.
pub const NOTICES_RETRY: std::time::Duration = std::time::Duration::from_millis(5);
/// Bytes of recorded frames that wait for whoever records; further frames are counted only.
pub const TAP_BUFFER_LEN: usize = 8 << 20;
/// Bytes of a frame that another node is given of a recording. The frames that carry them are recorded too: if the
/// whole of a frame went into them, a recording would feed on itself for ever.
pub const REMOTE_FRAME_LEN: usize = 256;
/// Stations that the kernel's filter knows in a flood: it takes five operations for each, and 4,096 in all.
/// A socket's share of memory (`net.core.optmem_max`) may end it earlier: at some 500 with the 128 KiB that are usual.
pub const SIEVE_STATIONS_MAX: usize = 768;
/// How often is looked whether frames that are no use come in a flood, ns.
pub const SIEGE_LOOK_NS: u64 = 10_000_000;
/// Frames that are dropped in a millisecond and are no flood yet: far more than a bad network brings, and some
/// hundredth of what the thread can take.
pub const SIEGE_DROPS_PER_MS: u64 = 10;
/// How long there must be no flood before everything is let through again, ns.
pub const SIEGE_CALM_NS: u64 = 1_000_000_000;
/// How long after its announcement a node that has no session ends when it hears that its name is taken: the bearer
/// may be busy, or have been stopped for a moment.
pub const NEWCOMER_TIME: std::time::Duration = std::time::Duration::from_secs(5);
/// Lines of log about other nodes at once: as many come when a whole segment starts.
pub const NEWS_BURST: u32 = 256;
/// One more such line may follow after each of these, ns.
pub const NEWS_INTERVAL_NS: u64 = 1_000_000_000;
/// Lines of log about mistakes in paths at once, and the time after each of which one more may follow, ns.
pub const MISTAKES_BURST: u32 = 8;
/// See [`MISTAKES_BURST`].
pub const MISTAKES_INTERVAL_NS: u64 = 1_000_000_000;
/// Clients of `/net` that may wait for a node to be found at one time.
pub const PARKED_MAX: usize = 1024;

/// One more than the largest number of a CPU that the network-handler thread may be told to run on: what the
/// kernel's usual set holds.
pub const CPUS_MAX: usize = 1024;
/// Microseconds that the network-handler thread may be told to look for work before it sleeps.
pub const SPIN_US_MAX: u64 = 10_000;
/// The turn of the processor that the network-handler thread asks for: the shortest that the kernel gives, so that
/// frames and calls wait no longer than this for a thread that computes.
pub const SLICE: std::time::Duration = std::time::Duration::from_micros(100);
/// The nice value that the network-handler thread asks for where it has the usual one: two thirds of a processor that
/// it shares with one program that computes, as long as it needs them. With more, client and server of a long message are
/// interrupted for each few of its frames (measured, `benches/README.md`).
pub const NICE: i32 = -3;
/// Bytes of frames that a round takes, and fills, while short calls pass beside long messages: each of them waits
/// for such rounds at both nodes.
pub const MIXED_LEN: usize = 16 << 10;
/// Messages and replies up to this length are a short call's.
pub const SHORT_CALL_LEN: usize = 4096;
/// How long after a short call the next one is expected.
pub const SHORT_CALL_LATELY_NS: u64 = 1_000_000;
/// How long the network-handler thread lets work gather when much comes: short beside what a crowd waits anyway.
pub const REST: std::time::Duration = std::time::Duration::from_micros(5);
/// The time over which is counted whether much comes.
pub const REST_DENSE_NS: u64 = 64_000;
/// Frames, messages and answers in that time that are much: more than blocking clients bring one by one.
pub const REST_DENSE_EVENTS: u64 = 16;
/// Bytes of frames in that time that are much.
pub const REST_DENSE_LEN: u64 = 32 << 10;
/// Unanswered calls among which the single one is not waited for: more than blocking clients usually make.
pub const REST_CROWD: usize = 128;
/// Unanswered calls of local clients from which on messages that came together are looked for.
pub const CROWD_MIN: usize = 64;
/// Messages that came together whose answers are apart: each keeps up to 36 KiB until its last one has come. A client
/// has no more of them than are left to others.
pub const CROWDS_MAX: usize = 64;
/// Bytes of a message still to come that are sure to take longer than a rest, at 3 GB/s.
pub const REST_COMING_LEN: u32 = 128 << 10;

/// Bytes that nodes have in common on this machine for long messages of their clients, and their answers, beyond
/// [`LENT_OWN_LEN`] each. One of them takes no more than is left to the others; what finds no room waits.
pub fn lent_common_len() -> usize {
    let number = |what| sysconf(what).ok().flatten().unwrap_or(i64::MAX);
    let memory = number(SysconfVar::_PHYS_PAGES).saturating_mul(number(SysconfVar::PAGE_SIZE));
    let share = usize::try_from(memory).unwrap_or(usize::MAX) / LENT_SHARE;
    share.clamp(LENT_COMMON_LEN_MIN, LENT_COMMON_LEN_MAX)
}

const _: () = assert!(4 * ATTACH_THREADS_PER_SERVER <= ATTACH_THREADS_MAX);
const _: () = assert!(RX_BUFFERS_MIN <= RX_BUFFERS_MAX && RX_BUFFERS_MAX.is_power_of_two());
const _: () =
    assert!(REMOTE_FRAME_LEN >= 64 && 2 * REMOTE_FRAME_LEN <= qnet_proto::limits::MTU_MIN);
const _: () = assert!(5 * SIEVE_STATIONS_MAX + 64 <= 4096);
const _: () = assert!(TX_BUFFERS_MIN <= TX_BUFFERS_MAX);
const _: () = assert!(SHORT_CALL_LEN <= MIXED_LEN && MIXED_LEN <= TRANSMIT_LEN);
const _: () = assert!(MIXED_LEN <= RECEIVE_LEN);
const _: () = assert!(SUBMISSIONS as usize >= TX_BUFFERS_MAX + 8);
const _: () = assert!(COMPLETIONS as usize >= SUBMISSIONS as usize + RX_BUFFERS_MAX);
const _: () = assert!(TX_BUFFERS_MAX + COMPLETIONS_AT_REST <= COMPLETIONS as usize);
const _: () = assert!(FRAMES_PER_ROUND >= RUN_FRAMES_MAX && MESSAGES_PER_ROUND >= CROWD_MIN);
const _: () = assert!(2 * ipc_core::abi::limits::DOORBELLS_MAX <= DOORBELL_WORDS_MAX);
const _: () = assert!(STAGED_OWN_LEN >= 4 * qnet_proto::limits::EAGER_LEN);
const _: () = assert!(KEPT_LEN_MAX >= 4 * 2 * qnet_proto::limits::MESSAGE_LEN_MAX);
const _: () = assert!(LENT_COMMON_LEN_MIN >= 4 * 2 * qnet_proto::limits::MESSAGE_LEN_MAX);
const _: () = assert!(LENT_COMMON_LEN_MIN <= LENT_COMMON_LEN_MAX);
const _: () = assert!(STAGED_COMMON_LEN >= 64 * STAGED_OWN_LEN);
