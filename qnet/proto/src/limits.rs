//! Every limit of the protocol and of the engine, and the relations between them.

/// Bytes of an Ethernet header.
pub const ETHERNET_HEADER_LEN: usize = 14;
/// Bytes of the Qnet header.
pub const QNET_HEADER_LEN: usize = 32;
/// Bytes kept free behind the records for the authentication tag to come.
pub const TAG_LEN: usize = 16;
/// Bytes of the header of one record.
pub const RECORD_HEADER_LEN: usize = 4;
/// Bytes of a frame that are not records.
pub const FRAME_OVERHEAD_LEN: usize = ETHERNET_HEADER_LEN + QNET_HEADER_LEN + TAG_LEN;

/// The smallest MTU a link may have: every control record fits into one frame.
pub const MTU_MIN: usize = 576;
/// The largest MTU a link may have: the Qnet length field has 16 bits.
pub const MTU_MAX: usize = 65_535;
/// Bytes of the largest frame.
pub const FRAME_LEN_MAX: usize = ETHERNET_HEADER_LEN + MTU_MAX;
/// Links of one engine.
pub const LINKS_MAX: usize = 8;
/// Paths of one session: pairs of a link of this node and an address of the peer there.
pub const PATHS_MAX: usize = 8;
/// Bits of the packet number that count; those above name the path.
pub const PACKET_NUMBER_BITS: u32 = 56;
/// How close the search for the MTU of a path comes to what really passes.
pub const MTU_SEARCH_STEP: usize = 32;

/// Bytes of a node name.
pub const NODE_NAME_LEN_MAX: usize = 63;
/// Bytes of one message or reply: 16 MiB.
pub const MESSAGE_LEN_MAX: usize = 16 << 20;
/// Bytes of a message that are carried along unasked, before the receiver granted anything: every receiver
/// has a place for them.
pub const EAGER_LEN: usize = 16 << 10;
/// Bytes of a message that are sent unasked through a connection whose server answered before: its node most
/// likely has a buffer, and does not take what lies above [`EAGER_LEN`] if it has none.
pub const UNASKED_LEN: usize = 1 << 20;

/// Remote nodes that an engine knows by name.
pub const PEERS_MAX: usize = 1024;
/// Names that are being resolved at one time.
pub const RESOLVES_MAX: usize = 256;
/// Frames outside sessions that wait to be sent: strangers cannot make it more.
pub const DATAGRAMS_MAX: usize = 256;
/// Resets that answer frames of unknown sessions at once: a node that starts again has as many peers that still
/// speak to its former life, each in a few frames.
pub const RESETS_BURST: u32 = 256;
/// One more such Reset may follow after each of these, ns.
pub const RESET_INTERVAL_NS: u64 = 250_000;
/// Questions who is at an address from which a frame of a session came, at once: a peer has at most as many
/// links that are not known yet.
pub const SEARCHES_BURST: u32 = 8;
/// One more such question may follow after each of these, ns.
pub const SEARCH_INTERVAL_NS: u64 = 5_000_000;
/// Calls that one node may have unanswered at another.
pub const CALLS_MAX: usize = 16_384;
/// Control records queued for one node beyond which those without a meaning are looked for: more than its calls,
/// connections and pulses together have with one.
pub const CONTROLS_KEPT_MAX: usize = 8 * CALLS_MAX;
/// Virtual connections that one node may have open to another.
pub const CONNS_MAX: usize = 32_768;
/// Pulses queued for one node and not yet acknowledged.
pub const PULSES_MAX: usize = 1024;
/// Ids (of calls, of connections) that may be on their way at one time: the span of a duplicate filter.
pub const SEEN_WINDOW: usize = 4096;
/// Places for numbers that are found without hashing, at first.
pub const NUMBER_PLACES_MIN: usize = 64;
/// The same, at most: as many as numbers are on their way.
pub const NUMBER_PLACES_MAX: usize = SEEN_WINDOW;
/// Messages of one record that are kept together; a longer one makes several runs.
pub const RUN_MESSAGES_MAX: usize = 64;
/// Bytes of a message that may be of a run on its client's node: it is never sent in parts, and fits any frame.
pub const RUN_LEN_MAX: usize = 224;
/// Calls that one record answers.
pub const REPLIES_MAX: usize = SEEN_WINDOW;
/// Calls that the [`Replies`](crate::wire::RecordType::Replies) of one frame answer: no sound node has more answers than
/// calls of one peer that it admits, and a short record cannot make its receiver look up without bound.
pub const REPLIES_PER_FRAME_MAX: usize = 2 * CALLS_MAX;
/// Bytes of granted messages from one node that may be incomplete at one time.
pub const GRANTED_LEN_MAX: usize = 64 << 20;

/// Ranges of received packet numbers that are remembered.
pub const ACK_RANGES_MAX: usize = 64;
/// Ranges that one acknowledgement record carries.
pub const ACK_RANGES_PER_RECORD: usize = 32;
/// Disjoint extents of one reply.
pub const REPLY_EXTENTS_MAX: usize = 64;

/// Disjoint ranges of one message or reply that are remembered as placed: what would make more is not
/// acknowledged and comes again, when there are fewer gaps.
pub const PLACED_RANGES_MAX: usize = 1024;
/// The same of all messages and replies of one node together, beyond the first range of each: as many as calls. A sound
/// node leaves no more gaps than it has packets on their way.
pub const PLACED_RANGES_OF_PEER_MAX: usize = CALLS_MAX;
/// Fewer bytes than these are not worth a fragment of their own.
pub const FRAGMENT_LEN_MIN: usize = 128;
/// With more gaps than these an acknowledgement asks for one itself, so that they can be forgotten.
pub const GAPS_MAX: usize = 8;

const _: () = assert!(CONTROLS_KEPT_MAX >= 2 * (2 * CALLS_MAX + CONNS_MAX));
const _: () = assert!(MTU_MIN > QNET_HEADER_LEN + TAG_LEN + RECORD_HEADER_LEN + 256);
const _: () = assert!(
    RECORD_HEADER_LEN + 2 + 8 * ACK_RANGES_PER_RECORD < MTU_MIN - QNET_HEADER_LEN - TAG_LEN
);
const _: () = assert!(ACK_RANGES_PER_RECORD <= ACK_RANGES_MAX);
const _: () = assert!(8 * PLACED_RANGES_MAX <= PLACED_RANGES_OF_PEER_MAX);
const _: () = assert!(MTU_MAX <= u16::MAX as usize);
const _: () = assert!(PATHS_MAX <= 1 << (64 - PACKET_NUMBER_BITS));
const _: () = assert!(LINKS_MAX <= PATHS_MAX);
const _: () = assert!(EAGER_LEN <= UNASKED_LEN && UNASKED_LEN <= MESSAGE_LEN_MAX);
const _: () = assert!(MESSAGE_LEN_MAX <= GRANTED_LEN_MAX);
const _: () = assert!(SEEN_WINDOW.is_multiple_of(64) && SEEN_WINDOW.is_power_of_two());
const _: () = assert!(NODE_NAME_LEN_MAX <= u8::MAX as usize);
