//! Tables of what a node runs: names, processes, channels, and who is blocked on whom.
//!
//! A table is read in pages: the client says with which entry to start, the reply says how many the
//! table has and carries as many as fit. Each entry is a fixed part, and for some a text.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

use super::{message_type, split_head};
use crate::abi::{Errno, Result};

/// Which table is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Table {
    /// Registered prefixes and names, as [`NameEntry`](super::NameEntry).
    Names = 1,
    /// Processes that own channels or registered something, as [`ProcessEntry`](super::ProcessEntry).
    Processes = 2,
    /// Channels, as [`ChannelEntry`](super::ChannelEntry).
    Channels = 3,
    /// Blocked threads, as [`BlockedEntry`](super::BlockedEntry).
    Blocked = 4,
    /// What happened on channels, as [`CountersEntry`](super::CountersEntry); `EBADMSG` from older process managers.
    Counters = 5,
}

/// `QUERY`: read a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which one.
    pub table: Table,
    /// The first entry wanted, from 0.
    pub start: u32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct QueryBody {
    /// [`message_type::QUERY`]
    type_: U16,
    /// [`Table`]
    subtype: U16,
    /// Index of the first entry wanted.
    start: U32,
}
const _: () = assert!(size_of::<QueryBody>() == 8);

impl Query {
    /// The message.
    pub fn to_bytes(self) -> Vec<u8> {
        let body = QueryBody {
            type_: message_type::QUERY.into(),
            subtype: (self.table as u16).into(),
            start: self.start.into(),
        };
        body.as_bytes().to_vec()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Query> {
        let (body, end) = split_head::<QueryBody>(bytes)?;
        let table = match body.subtype.get() {
            1 => Table::Names,
            2 => Table::Processes,
            3 => Table::Channels,
            4 => Table::Blocked,
            5 => Table::Counters,
            _ => return Err(Errno::EBADMSG),
        };
        if !end.is_empty() {
            return Err(Errno::EBADMSG);
        }
        Ok(Query {
            table,
            start: body.start.get(),
        })
    }
}

/// One line of a table.
pub trait Entry: Sized {
    /// The table that has such entries.
    const TABLE: Table;
    /// Puts the entry behind what `out` holds.
    fn pack(&self, out: &mut Vec<u8>);
    /// Takes an entry off the front.
    ///
    /// # Errors
    /// `EBADMSG` malformed.
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8])>;
}

/// A part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<E> {
    /// Entries that the whole table has.
    pub total: u32,
    /// Those of this page, in order.
    pub entries: Vec<E>,
}

const PAGE_HEAD_LEN: usize = 8;

/// The reply to a query: the entries from `start` on, as many as `len_max` bytes hold.
pub fn pack_page<E: Entry>(table: &[E], start: u32, len_max: usize) -> Vec<u8> {
    let mut reply = vec![0; PAGE_HEAD_LEN];
    let mut count: u32 = 0;
    for entry in table.iter().skip(start as usize) {
        let before = reply.len();
        entry.pack(&mut reply);
        if reply.len() > len_max {
            reply.truncate(before);
            break;
        }
        count += 1;
    }
    reply[..4].copy_from_slice(&u32::try_from(table.len()).unwrap_or(u32::MAX).to_le_bytes());
    reply[4..PAGE_HEAD_LEN].copy_from_slice(&count.to_le_bytes());
    reply
}

/// Reads the reply to a query.
///
/// # Errors
/// `EBADMSG` malformed.
pub fn parse_page<E: Entry>(reply: &[u8]) -> Result<Page<E>> {
    let (head, mut rest) = split_head::<[U32; 2]>(reply)?;
    let mut entries = Vec::new();
    for _ in 0..head[1].get() {
        let (entry, end) = E::parse(rest)?;
        entries.push(entry);
        rest = end;
    }
    if rest.is_empty() {
        Ok(Page {
            total: head[0].get(),
            entries,
        })
    } else {
        Err(Errno::EBADMSG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{
        ChannelFlags, ChannelStats, Chid, Coid, Nd, Pid, Tid,
        proc::{
            BlockState, BlockedEntry, ChannelEntry, CountersEntry, NameEntry, PrefixFlags,
            ProcessEntry, RegistrationId,
        },
    };

    fn names(count: u64) -> Vec<NameEntry> {
        let name = |i: u64| NameEntry {
            id: RegistrationId(i + 1),
            path: format!("/dev/name/local/{i}").into_bytes(),
            pid: Pid(100),
            chid: Chid(1),
            handle: i,
            flags: PrefixFlags::NAME,
            uid: 0,
        };
        (0..count).map(name).collect()
    }

    #[test]
    fn a_table_is_read_back_page_by_page() {
        let table = names(50);
        let mut read = Vec::new();
        while read.len() < table.len() {
            let reply = pack_page(&table, read.len() as u32, 200);
            assert!(reply.len() <= 200);
            let page = parse_page::<NameEntry>(&reply).unwrap();
            assert_eq!(page.total, 50);
            assert!(!page.entries.is_empty());
            read.extend(page.entries);
        }
        assert_eq!(read, table);
    }

    #[test]
    fn a_page_past_the_end_is_empty() {
        let page = parse_page::<NameEntry>(&pack_page(&names(3), 3, 4096)).unwrap();
        assert_eq!((page.total, page.entries.len()), (3, 0));
    }

    #[test]
    fn every_kind_of_entry_is_read_back() {
        let process = ProcessEntry {
            pid: Pid(5),
            uid: 1,
            gid: 2,
            channels: 3,
            prefixes: 4,
            name: "procmgr".to_owned(),
        };
        let channel = ChannelEntry {
            pid: Pid(5),
            chid: Chid(1),
            flags: ChannelFlags::DISCONNECT,
            receive_blocked: 1,
            send_blocked: 2,
            reply_blocked: 3,
        };
        let counters = CountersEntry {
            pid: Pid(5),
            chid: Chid(1),
            stats: ChannelStats {
                messages: 1,
                pulses: 2,
                replies: 3,
                wakes_sent: 4,
                wakes_avoided: 5,
                spins_won: 6,
                spins_lost: 7,
                dropped_unanswered: 8,
                priorities_refused: 9,
                faults: 10,
            },
        };
        assert_eq!(
            parse_page(&pack_page(&[counters], 0, 4096)),
            Ok(Page {
                total: 1,
                entries: vec![counters]
            })
        );
        let blocked = BlockedEntry {
            state: BlockState::Reply,
            nd: Nd(2),
            pid: Pid(7),
            tid: Tid(8),
            coid: Coid(9),
            on_pid: Pid(5),
            on_chid: Chid(1),
            priority: 10,
        };
        let reply = pack_page(std::slice::from_ref(&process), 0, 4096);
        assert_eq!(
            parse_page(&reply),
            Ok(Page {
                total: 1,
                entries: vec![process]
            })
        );
        assert_eq!(
            parse_page(&pack_page(&[channel], 0, 4096)),
            Ok(Page {
                total: 1,
                entries: vec![channel]
            })
        );
        assert_eq!(
            parse_page(&pack_page(&[blocked], 0, 4096)),
            Ok(Page {
                total: 1,
                entries: vec![blocked]
            })
        );
    }

    #[test]
    fn a_count_that_the_page_does_not_hold_is_malformed() {
        let mut reply = pack_page(&names(2), 0, 4096);
        reply[4] = 3;
        assert_eq!(parse_page::<NameEntry>(&reply), Err(Errno::EBADMSG));
        reply[4] = 1;
        assert_eq!(parse_page::<NameEntry>(&reply), Err(Errno::EBADMSG));
    }

    #[test]
    fn an_unknown_table_is_malformed() {
        let mut bytes = Query {
            table: Table::Names,
            start: 0,
        }
        .to_bytes();
        bytes[2] = 9;
        assert_eq!(Query::parse(&bytes), Err(Errno::EBADMSG));
    }
}
