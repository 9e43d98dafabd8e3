//! Answers to a connect message: success, a redirect, a symbolic link.

use zerocopy::little_endian::{I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::wire::{index, len_u32, take, take_bytes};
use crate::abi::limits::{
    CONNECT_ANSWER_LEN_MAX, NODE_NAME_LEN_MAX, PATH_LEN_MAX, REDIRECT_SERVERS_MAX,
};
use crate::abi::{Chid, Errno, Nd, Pid, Result};

// No count, offset or node descriptor reaches 2^62: the status of a success is never one of these.
/// Status of a reply whose bytes are a [`Redirect`].
const STATUS_REDIRECT: i64 = (1 << 62) | 1;
/// Status of a reply whose bytes are a [`Symlink`].
const STATUS_SYMLINK: i64 = (1 << 62) | 2;

/// What a server said to a connect message, other than an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectAnswer {
    /// Done; after an open the connection is the file. The bytes are those of combined parts, of a
    /// readlink, or none.
    Done {
        /// The status of the reply: of the last combined part, or what the subtype defines.
        status: i64,
    },
    /// Ask these servers, in order.
    Redirect(Redirect),
    /// A component was a symbolic link: start again at the process manager.
    Symlink(Symlink),
}

impl ConnectAnswer {
    /// Reads a reply from its status and a private copy of its bytes.
    ///
    /// # Errors
    /// `EBADMSG` if the status announces a format that the bytes do not have.
    pub fn parse(status: i64, bytes: &[u8]) -> Result<ConnectAnswer> {
        match status {
            STATUS_REDIRECT => Redirect::parse(bytes).map(ConnectAnswer::Redirect),
            STATUS_SYMLINK => Symlink::parse(bytes).map(ConnectAnswer::Symlink),
            status => Ok(ConnectAnswer::Done { status }),
        }
    }
}

/// One server of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectServer {
    /// The server's node as the answering server's node numbers it; the client's library translates
    /// (PTH-4): 0 is the node of who answered.
    pub nd: Nd,
    /// The server's process.
    pub pid: Pid,
    /// The server's channel.
    pub chid: Chid,
    /// What goes into the connect message's `handle`.
    pub handle: u64,
    /// The flags the prefix was registered with (see the process manager's messages).
    pub flags: u32,
    /// Bytes of [`Redirect::path`] that the server's prefix covers.
    pub prefix_len: usize,
    /// The node's name where `nd` is not 0: what the client's node resolves to its own descriptor.
    pub node_name: Option<String>,
}

/// Ask these servers, in order, for the rest of the path (PTH-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Whom to ask, best first; never empty.
    pub servers: Vec<RedirectServer>,
    /// The path that the servers' `prefix_len` count into.
    pub path: Vec<u8>,
}

/// The fixed front of a redirect.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RedirectHeader {
    /// Of this format: 1.
    version: U16,
    /// Servers that follow.
    count: U16,
    /// Bytes of the path behind the servers and their names.
    path_len: U32,
}

/// One server as it stands in a redirect; the names follow all servers, in order.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ServerEntry {
    nd: U32,
    pid: I32,
    chid: I32,
    flags: U32,
    handle: U64,
    prefix_len: U32,
    /// Bytes of the node's name; 0 for none.
    name_len: U32,
}

const _: () = assert!(size_of::<RedirectHeader>() == 8);
const _: () = assert!(size_of::<ServerEntry>() == 32);
const _: () = assert!(
    size_of::<RedirectHeader>()
        + REDIRECT_SERVERS_MAX * (size_of::<ServerEntry>() + NODE_NAME_LEN_MAX)
        + PATH_LEN_MAX
        <= CONNECT_ANSWER_LEN_MAX
);

impl Redirect {
    /// The status to reply with.
    pub const STATUS: i64 = STATUS_REDIRECT;

    /// The path to ask a server of the list for: what its prefix leaves, without leading slashes. A server
    /// with an empty prefix, such as another node's process manager, is asked for the whole path.
    pub fn rest(&self, server: &RedirectServer) -> &[u8] {
        let rest = self.path.get(server.prefix_len..).unwrap_or_default();
        if server.prefix_len == 0 {
            return rest;
        }
        let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
        &rest[slashes..]
    }

    /// The reply's bytes, to go with [`Redirect::STATUS`].
    ///
    /// # Errors
    /// `EINVAL` for no or too many servers or a node name beyond its limit, `ENAMETOOLONG` for the path.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        let header = RedirectHeader {
            version: 1.into(),
            count: U16::new(u16::try_from(self.servers.len()).map_err(|_| Errno::EINVAL)?),
            path_len: len_u32(self.path.len()).into(),
        };
        let mut bytes = header.as_bytes().to_vec();
        for server in &self.servers {
            let entry = ServerEntry {
                nd: server.nd.0.into(),
                pid: server.pid.0.into(),
                chid: server.chid.0.into(),
                flags: server.flags.into(),
                handle: server.handle.into(),
                prefix_len: len_u32(server.prefix_len).into(),
                name_len: len_u32(server.name().len()).into(),
            };
            bytes.extend_from_slice(entry.as_bytes());
        }
        for server in &self.servers {
            bytes.extend_from_slice(server.name().as_bytes());
        }
        bytes.extend_from_slice(&self.path);
        Ok(bytes)
    }

    /// Reads a redirect from a private copy of the reply's bytes.
    ///
    /// # Errors
    /// `EBADMSG` for bytes that no encoder makes.
    pub fn parse(bytes: &[u8]) -> Result<Redirect> {
        let (header, mut rest) = take::<RedirectHeader>(bytes)?;
        let count = usize::from(header.count.get());
        if header.version.get() != 1 || count > REDIRECT_SERVERS_MAX {
            return Err(Errno::EBADMSG);
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let (entry, behind) = take::<ServerEntry>(rest)?;
            entries.push(entry);
            rest = behind;
        }
        let mut servers = Vec::with_capacity(count);
        for entry in entries {
            let (name, behind) = take_bytes(rest, index(entry.name_len.get()))?;
            servers.push(RedirectServer::from_entry(&entry, name)?);
            rest = behind;
        }
        if rest.len() != index(header.path_len.get()) {
            return Err(Errno::EBADMSG);
        }
        let redirect = Redirect {
            servers,
            path: rest.to_vec(),
        };
        redirect.check().map_err(|_| Errno::EBADMSG)?;
        Ok(redirect)
    }

    fn check(&self) -> Result<()> {
        if self.path.len() >= PATH_LEN_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let servers_fit = (1..=REDIRECT_SERVERS_MAX).contains(&self.servers.len());
        let each_fits = self.servers.iter().all(|server| {
            server.prefix_len <= self.path.len() && server.name().len() <= NODE_NAME_LEN_MAX
        });
        if !servers_fit || !each_fits || self.path.contains(&0) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

impl RedirectServer {
    fn name(&self) -> &str {
        self.node_name.as_deref().unwrap_or_default()
    }

    fn from_entry(entry: &ServerEntry, name: &[u8]) -> Result<RedirectServer> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::EBADMSG)?;
        Ok(RedirectServer {
            nd: Nd(entry.nd.get()),
            pid: Pid(entry.pid.get()),
            chid: Chid(entry.chid.get()),
            handle: entry.handle.get(),
            flags: entry.flags.get(),
            prefix_len: index(entry.prefix_len.get()),
            node_name: (!name.is_empty()).then(|| name.to_owned()),
        })
    }
}

/// A component of the path was a symbolic link that leads out of the server's own names.
///
/// The client's library puts `target` in the place of the bytes `link_start..link_end` of the path it sent
/// (an absolute target also replaces what was before), and starts again at the process manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symlink {
    /// Where the component that is the link starts in the path the client sent.
    pub link_start: usize,
    /// Where it ends.
    pub link_end: usize,
    /// The text of the link.
    pub target: Vec<u8>,
}

/// The fixed front of a symbolic link's answer.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SymlinkHeader {
    version: U16,
    reserved: U16,
    link_start: U32,
    link_end: U32,
    target_len: U32,
}

const _: () = assert!(size_of::<SymlinkHeader>() == 16);

impl Symlink {
    /// The status to reply with.
    pub const STATUS: i64 = STATUS_SYMLINK;

    /// The reply's bytes, to go with [`Symlink::STATUS`].
    ///
    /// # Errors
    /// `EINVAL` for an empty target or a component that ends before it starts, `ENAMETOOLONG` for lengths.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        let header = SymlinkHeader {
            version: 1.into(),
            reserved: 0.into(),
            link_start: len_u32(self.link_start).into(),
            link_end: len_u32(self.link_end).into(),
            target_len: len_u32(self.target.len()).into(),
        };
        Ok([header.as_bytes(), &self.target].concat())
    }

    /// Reads a symbolic link's answer from a private copy of the reply's bytes.
    ///
    /// # Errors
    /// `EBADMSG` for bytes that no encoder makes.
    pub fn parse(bytes: &[u8]) -> Result<Symlink> {
        let (header, target) = take::<SymlinkHeader>(bytes)?;
        let plain = header.version.get() == 1 && header.reserved.get() == 0;
        if !plain || target.len() != index(header.target_len.get()) {
            return Err(Errno::EBADMSG);
        }
        let symlink = Symlink {
            link_start: index(header.link_start.get()),
            link_end: index(header.link_end.get()),
            target: target.to_vec(),
        };
        symlink.check().map_err(|_| Errno::EBADMSG)?;
        Ok(symlink)
    }

    fn check(&self) -> Result<()> {
        if self.target.len() >= PATH_LEN_MAX || self.link_end >= PATH_LEN_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if self.target.is_empty() || self.target.contains(&0) || self.link_start > self.link_end {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(prefix_len: usize, node: Option<&str>) -> RedirectServer {
        RedirectServer {
            nd: Nd(u32::from(node.is_some())),
            pid: Pid(812),
            chid: Chid(1),
            handle: u64::MAX,
            flags: 5,
            prefix_len,
            node_name: node.map(str::to_owned),
        }
    }

    fn example() -> Redirect {
        Redirect {
            servers: vec![
                server(4, None),
                server(1, Some("wintermute")),
                server(0, None),
            ],
            path: b"/net/wintermute/home".to_vec(),
        }
    }

    #[test]
    fn a_redirect_is_parsed_back() {
        let bytes = example().encode().unwrap();
        let answer = ConnectAnswer::parse(Redirect::STATUS, &bytes);
        assert_eq!(answer, Ok(ConnectAnswer::Redirect(example())));
    }

    #[test]
    fn the_rest_is_what_the_prefix_leaves() {
        let redirect = example();
        let rests: Vec<&[u8]> = redirect
            .servers
            .iter()
            .map(|server| redirect.rest(server))
            .collect();
        assert_eq!(
            rests,
            [
                &b"wintermute/home"[..],
                b"net/wintermute/home",
                b"/net/wintermute/home"
            ]
        );
    }

    #[test]
    fn every_cut_redirect_is_refused() {
        let bytes = example().encode().unwrap();
        for len in 0..bytes.len() {
            assert_eq!(
                Redirect::parse(&bytes[..len]),
                Err(Errno::EBADMSG),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_redirect_that_leads_nowhere_or_beyond_its_path_is_refused() {
        let empty = Redirect {
            servers: vec![],
            path: b"/".to_vec(),
        };
        assert_eq!(empty.encode(), Err(Errno::EINVAL));
        assert_eq!(
            Redirect::parse(&[1, 0, 0, 0, 0, 0, 0, 0]),
            Err(Errno::EBADMSG)
        );
        let beyond = Redirect {
            servers: vec![server(9, None)],
            path: b"/".to_vec(),
        };
        assert_eq!(beyond.encode(), Err(Errno::EINVAL));
        let many = Redirect {
            servers: vec![server(0, None); REDIRECT_SERVERS_MAX + 1],
            path: vec![],
        };
        assert_eq!(many.encode(), Err(Errno::EINVAL));
    }

    #[test]
    fn a_symbolic_link_is_parsed_back() {
        let symlink = Symlink {
            link_start: 3,
            link_end: 7,
            target: b"../x".to_vec(),
        };
        let bytes = symlink.encode().unwrap();
        let answer = ConnectAnswer::parse(Symlink::STATUS, &bytes);
        assert_eq!(answer, Ok(ConnectAnswer::Symlink(symlink)));
        for len in 0..bytes.len() {
            assert_eq!(Symlink::parse(&bytes[..len]), Err(Errno::EBADMSG));
        }
    }

    #[test]
    fn any_other_status_is_success() {
        assert_eq!(
            ConnectAnswer::parse(2, b""),
            Ok(ConnectAnswer::Done { status: 2 })
        );
    }
}
