//! Every limit of local message passing, and the relations between them.

/// Bytes of one message or reply, each way: 16 MiB.
pub const MSG_LEN_MAX: usize = 16 << 20;

/// Bytes of a path with its end, as on Linux.
pub const PATH_LEN_MAX: usize = 4096;

/// Bytes of one component of a path.
pub const NAME_LEN_MAX: usize = 255;

/// Redirects and symbolic links that one resolution follows before `ELOOP` (PTH-3).
pub const REDIRECTS_MAX: usize = 32;

/// Servers that one prefix may have, and so, times the components of a path, those that a reply lists.
pub const SERVERS_PER_PREFIX_MAX: usize = 16;

/// Prefixes and names that one process may register.
pub const REGISTRATIONS_PER_PROCESS_MAX: usize = 4096;

/// The same of all processes of one user, but root and the owner of the node: one user leaves most of what a node has.
pub const REGISTRATIONS_PER_USER_MAX: usize = 8192;

/// Bytes of one page of a process manager's table: the reply buffer that a client offers.
pub const QUERY_REPLY_LEN_MAX: usize = 256 << 10;

/// Idle connections that a process keeps for its next walk.
pub const POOLED_MAX: usize = 12;

/// Of these, those to one server.
pub const POOLED_PER_SERVER_MAX: usize = 4;

/// Prefixes and names of one node.
pub const REGISTRATIONS_MAX: usize = 65_536;

/// Channels of one process.
pub const CHANNELS_MAX: usize = 1024;

/// Connections that one channel accepts.
pub const CONNECTIONS_MAX: usize = 32_768;

/// The priority of a thread that never chose one, as on Neutrino.
pub const PRIORITY_DEFAULT: u8 = 10;

/// Bytes of the longest connect message: a path with combined parts or a second path.
pub const CONNECT_LEN_MAX: usize = 64 << 10;

/// I/O messages that one message combines: what a client does in one go, and a server's thread before it looks at
/// what others want.
pub const COMBINED_MAX: usize = 64;

/// Bytes of a reply buffer that holds every answer to a connect message without combined parts.
pub const CONNECT_ANSWER_LEN_MAX: usize = 16 << 10;

/// Servers that one redirect lists.
pub const REDIRECT_SERVERS_MAX: usize = 64;

/// Bytes of a node's name in a redirect.
pub const NODE_NAME_LEN_MAX: usize = 63;

/// Bytes of the longest directory entry: no buffer of this size is too small for a read on a directory.
pub const DIR_ENTRY_LEN_MAX: usize = 280;

const _: () = assert!(2 * PATH_LEN_MAX < CONNECT_LEN_MAX);
const _: () = assert!(CONNECT_LEN_MAX < MSG_LEN_MAX && MSG_LEN_MAX <= u32::MAX as usize);
const _: () =
    assert!(REDIRECT_SERVERS_MAX * NODE_NAME_LEN_MAX + PATH_LEN_MAX < CONNECT_ANSWER_LEN_MAX);
const _: () = assert!(NAME_LEN_MAX < DIR_ENTRY_LEN_MAX);
const _: () = assert!(NAME_LEN_MAX < PATH_LEN_MAX);
const _: () = assert!(PATH_LEN_MAX < MSG_LEN_MAX);
const _: () = assert!(REGISTRATIONS_PER_PROCESS_MAX < REGISTRATIONS_PER_USER_MAX);
const _: () = assert!(4 * REGISTRATIONS_PER_USER_MAX <= REGISTRATIONS_MAX);
const _: () = assert!(QUERY_REPLY_LEN_MAX <= MSG_LEN_MAX);
const _: () = assert!(POOLED_PER_SERVER_MAX < POOLED_MAX);

/// Messages that one connection can have in flight, at most.
pub const SLOTS_MAX: u32 = 1024;

/// Messages that one connection can have in flight unless it asks for another number.
pub const SLOTS_DEFAULT: u32 = 32;

/// Messages that a pipeline has in flight unless it asks for another number.
pub const PIPELINE_DEPTH_DEFAULT: u32 = SLOTS_DEFAULT;

/// Messages that a pipeline hands over together, unless it is flushed or waited on before: a server that
/// followed it from one to the next would fetch each while it is being written.
pub const PIPELINE_RUN: u32 = 32;

/// Messages that a server takes in one batch, at most.
pub const BATCH_MAX: usize = SLOTS_MAX as usize;

/// Messages of a batch whose replies are handed over together: what the first waits for the last.
pub const BATCH_REPLIES: usize = 32;

const _: () = assert!(BATCH_REPLIES <= BATCH_MAX);

/// Bytes of one connection's arena, at most: address space, not memory, until it is touched.
pub const ARENA_LEN_MAX: u32 = 256 << 20;

/// Bytes of one connection's arena unless it asks for another number: the largest message and the
/// largest reply at once, and room beside them.
pub const ARENA_LEN_DEFAULT: u32 = 48 << 20;

/// Pulses that wait on one channel before its own process is refused another one. Those of clients are bounded by
/// the slots of their connections.
pub const PULSES_QUEUED_MAX: usize = 4096;

/// Pulses that wait on one channel, beside those of the connections it has, before it accepts no more connections:
/// what clients sent before they detached still arrives, and whoever comes and goes must not fill the server up. The
/// same number, by itself, bounds what a router keeps for other nodes.
pub const PULSES_KEPT_MAX: usize = 65_536;

const _: () = assert!(PULSES_KEPT_MAX > PULSES_QUEUED_MAX + CONNECTIONS_MAX);

/// Events that a server has delivered on one connection and the client has not taken, at most.
pub const EVENTS_IN_FLIGHT_MAX: u32 = 64;

/// Events that a client takes before it says so: one record for all of them. Each node on the way may
/// keep as many to itself.
pub const EVENTS_TAKEN_EVERY: u32 = 16;

const _: () = assert!(2 * EVENTS_TAKEN_EVERY < EVENTS_IN_FLIGHT_MAX);

/// Events that a client has registered on one connection, at most.
pub const EVENTS_REGISTERED_MAX: usize = 4096;

/// How long an attach may take before it ends in `ETIMEDOUT`.
pub const ATTACH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a process that registers something at the process manager, or takes it back, waits for the answer.
pub const PROCMGR_TIMEOUT: std::time::Duration = ATTACH_TIMEOUT;

/// Client processes of one user that may have connected to a process and not said yet what they want; the one
/// that has been silent longest makes room for the next.
pub const UNATTACHED_PER_USER_MAX: usize = 256;

/// The same, of all users together.
pub const UNATTACHED_MAX: usize = 1024;

const _: () = assert!(2 * UNATTACHED_PER_USER_MAX <= UNATTACHED_MAX);

/// How long a client that connected may take to say what it wants.
pub const UNATTACHED_TIMEOUT: std::time::Duration = ATTACH_TIMEOUT;

/// How long a process that has no descriptor left leaves those who want to attach waiting, before it looks
/// whether one is free.
pub const DOOR_REST: std::time::Duration = std::time::Duration::from_millis(20);

const _: () = assert!(DOOR_REST.as_nanos() * 10 < ATTACH_TIMEOUT.as_nanos());

/// How long a process that starts waits for others of its user that clean the runtime directory up.
pub const LEFTOVER_LOCK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// Names in the runtime directory that a client tries for one process, besides the first.
pub const NAMES_TRIED_MAX: usize = 16;

/// How long a client that gave up waits for the server's process to acknowledge that.
pub const CANCEL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// How often a sender that waits for a slot looks whether an abandoned one was answered after all.
pub const ABANDONED_LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(10);

const _: () = assert!(ABANDONED_LOOK_EVERY.as_nanos() < CANCEL_TIMEOUT.as_nanos());

/// Short messages that are worth a lease of their own: fewer go through the channel's table.
pub const APART_MIN: usize = 16;

/// Places of answered messages, and of answered loans, that a thread keeps for the next ones.
pub const SPARE_MESSAGES_MAX: usize = SLOTS_MAX as usize;

/// Messages of a channel's table whose memory is taken and given back together.
pub const TABLE_SHELF: usize = 64;

/// Shelves of a channel's table that are empty and keep their memory: room for as many messages as one connection
/// posts at once, so that whoever fills a ring again and again allocates nothing.
pub const TABLE_SPARE_SHELVES: usize = 16;

const _: () = assert!(TABLE_SHELF * TABLE_SPARE_SHELVES >= SLOTS_MAX as usize);

/// Places in a channel's queue, beside those that are taken, whose memory is kept.
pub const QUEUE_SPARE: usize = SLOTS_MAX as usize;

/// Bytes that a server copies into a reply buffer at a time while it holds its channel's lock.
pub const WRITE_UNDER_LOCK_MAX: usize = 64 << 10;

/// Bytes of one record on a control socket.
pub const CONTROL_LEN_MAX: usize = 16 << 10;

const _: () = assert!(SLOTS_DEFAULT <= SLOTS_MAX && SLOTS_DEFAULT.is_power_of_two());
const _: () = assert!(ARENA_LEN_DEFAULT <= ARENA_LEN_MAX);
const _: () = assert!(ARENA_LEN_DEFAULT as usize >= 2 * MSG_LEN_MAX);

/// Descriptors that one record on a control socket may carry: a region and a doorbell.
pub const CONTROL_FDS_MAX: usize = 2;

/// Futex words that one thread can wait on: the kernel's own limit.
pub const FUTEX_WORDS_MAX: usize = 128;

/// User ids that the clients of one channel may have among them at one time; each has a futex word of its
/// own, and one thread can wait for a channel and a completion queue at once.
pub const DOORBELLS_MAX: usize = 60;

const _: () = assert!(2 * DOORBELLS_MAX <= FUTEX_WORDS_MAX);

/// Connections that a receiver looks at one by one; beyond, clients say which of them are ready.
pub const DIRECT_CONNECTIONS_MAX: usize = 8;

/// Blocked threads of one channel that a status answer lists; it counts all of them.
pub const SNAPSHOT_THREADS_MAX: usize = 256;

/// How long a thread looks before it sleeps, at most, unless told otherwise.
pub const SPIN_ADAPTIVE_MAX: std::time::Duration = std::time::Duration::from_micros(20);

/// How much longer a sender looks that has just woken its server: twice what it takes a thread on another CPU to come, on a
/// virtual machine. Where copying takes some time, two sides that once slept would find each other asleep for ever without.
pub const SPIN_WAKE_MAX: std::time::Duration = std::time::Duration::from_micros(40);

/// Waits between two tries to look again where looking never paid.
pub const SPIN_PROBE_EVERY_MAX: u32 = 256;

/// Bytes that a thread copies in one go: some 10 us, where a long message takes milliseconds.
pub const COPY_PART_LEN: usize = 64 << 10;

/// Bytes that a process copies before it lets others of the CPU run, where nobody was there to: the look costs less than
/// a hundredth of the copying.
pub const COPY_ALONE_LEN: usize = 512 << 10;

/// Who gave way longer than this found somebody. In ticks that are nanoseconds or, on x86-64, shorter: 1 to 5 us.
pub const COPY_FOUND_TICKS: u64 = 5_000;

/// How much longer a thread copies than it lets others run meanwhile: it gives a fifth of its time away at most.
pub const COPY_TO_GIVEN: u64 = 4;

/// Waits at one place before its threads give way for the first time before they sleep: who sends now and then
/// has nothing to gain, and on a busy CPU a time slice to lose.
pub const GIVE_WAY_AFTER: u32 = 256;

/// Waits between two tries to give way where it never paid: nearly always, as the other side runs elsewhere.
pub const GIVE_WAY_PROBE_EVERY_MAX: u32 = 256;

/// Who gave way this long gave it to a third thread, or to a server with so much to do that a wake-up is
/// nothing beside it. In ticks that are nanoseconds or, on x86-64, shorter: 0.1 to 0.5 ms.
pub const GIVE_WAY_LONG_TICKS: u64 = 500_000;

/// Waits before the next try after one that took [`GIVE_WAY_LONG_TICKS`]. A time slice lasts some milliseconds, and so
/// many round trips some hundred: what giving way costs beside a third thread stays near a hundredth.
pub const GIVE_WAY_REST: u32 = 1 << 18;

/// Number from which on the preload library keeps descriptors of its own: half of what a process may have by
/// default, and beyond what shells use for theirs.
pub const OWN_DESCRIPTORS_FROM: i32 = 512;
const _: () = assert!(OWN_DESCRIPTORS_FROM > 255);
