//! Connects: section 2.

use crate::bytes::{Reader, Writer};

/// Flag of a Message or Pulse: a [`Connect`] follows.
pub(crate) const CONNECT_FOLLOWS: u8 = 0x01;

/// Who a connection leads to, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) server_pid: u32,
    pub(crate) server_chid: u32,
    pub(crate) client_pid: u32,
    pub(crate) coid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) srcnd: u32,
    pub(crate) revision: u16,
    pub(crate) answers_back: bool,
}

pub(crate) fn put_connect(to: &mut Writer, connect: Option<&Connect>) {
    let Some(connect) = connect else { return };
    to.u32(connect.server_pid)
        .u32(connect.server_chid)
        .u32(connect.client_pid)
        .u32(connect.coid);
    to.u32(connect.uid)
        .u32(connect.gid)
        .u32(connect.srcnd)
        .u16(connect.revision);
    to.u8(connect.answers_back.into()).u8(0);
}

pub(crate) fn take_connect(from: &mut Reader<'_>, flags: u8, known: u8) -> Option<Option<Connect>> {
    crate::record::check(flags & !known == 0)?;
    if flags & CONNECT_FOLLOWS == 0 {
        return Some(None);
    }
    let (server_pid, server_chid, client_pid) = (from.u32()?, from.u32()?, from.u32()?);
    let (coid, uid, gid) = (from.u32()?, from.u32()?, from.u32()?);
    let (srcnd, revision) = (from.u32()?, from.u16()?);
    let answers_back = from.u8()?;
    from.zeros(1)?;
    crate::record::check(answers_back <= 1)?;
    Some(Some(Connect {
        server_pid,
        server_chid,
        client_pid,
        coid,
        uid,
        gid,
        srcnd,
        revision,
        answers_back: answers_back == 1,
    }))
}
