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

/// Prefixes and names of one node.
pub const REGISTRATIONS_MAX: usize = 65_536;

/// Channels of one process.
pub const CHANNELS_MAX: usize = 1024;

/// Connections that one channel accepts.
pub const CONNECTIONS_MAX: usize = 32_768;

/// The priority of a thread that never chose one, as on Neutrino.
pub const PRIORITY_DEFAULT: u8 = 10;

const _: () = assert!(NAME_LEN_MAX < PATH_LEN_MAX);
const _: () = assert!(PATH_LEN_MAX < MSG_LEN_MAX);
const _: () = assert!(REGISTRATIONS_PER_PROCESS_MAX < REGISTRATIONS_MAX);
