//! What must hold for any bytes that a peer sends: no parser panics, and what one accepts survives being
//! encoded and parsed again. Shared by the fuzz targets and by the test that replays their corpora.

use ipc_core::abi::{
    io::{Connect, DevctlAnswer, DirEntries, IoPart, Redirect, Stat, StatVfs, Symlink},
    proc::{
        BlockedEntry, ChannelEntry, CountersEntry, NameEntry, ProcMessage, ProcessEntry,
        RegistrationId, parse_page,
    },
};

/// A connect message, as a server gets it.
pub(crate) fn connect(bytes: &[u8]) {
    if let Ok(connect) = Connect::parse(bytes) {
        let again = connect.encode().expect("what was parsed can be encoded");
        assert_eq!(Connect::parse(&again), Ok(connect));
    }
}

/// The answers to a connect message, as a client gets them.
pub(crate) fn connect_answer(bytes: &[u8]) {
    if let Ok(redirect) = Redirect::parse(bytes) {
        for server in &redirect.servers {
            assert!(redirect.rest(server).len() <= redirect.path.len());
        }
        let again = redirect.encode().expect("what was parsed can be encoded");
        assert_eq!(Redirect::parse(&again), Ok(redirect));
    }
    if let Ok(symlink) = Symlink::parse(bytes) {
        let again = symlink.encode().expect("what was parsed can be encoded");
        assert_eq!(Symlink::parse(&again), Ok(symlink));
    }
}

/// I/O messages, one after the other as combine messages carry them.
pub(crate) fn io_message(mut bytes: &[u8]) {
    while let Ok(part) = IoPart::parse(bytes, bytes.len()) {
        let again = part.message.encode();
        let alone = IoPart::parse(&again, again.len() + part.message.payload_len());
        assert_eq!(alone.map(|alone| alone.message), Ok(part.message));
        match part.next {
            Some(next) if next > 0 && next <= bytes.len() => bytes = &bytes[next..],
            _ => return,
        }
    }
}

/// Answers to I/O messages, as a client gets them.
pub(crate) fn io_answer(bytes: &[u8]) {
    let entries = DirEntries::new(bytes).take_while(Result::is_ok).count();
    assert!(entries <= bytes.len());
    if let Ok(stat) = Stat::parse(bytes) {
        assert_eq!(Stat::parse(&stat.encode()), Ok(stat));
    }
    if let Ok(stat) = StatVfs::parse(bytes) {
        assert_eq!(StatVfs::parse(&stat.encode()), Ok(stat));
    }
    if let Ok((answer, rest)) = DevctlAnswer::parse(bytes) {
        assert!(rest.len() <= bytes.len() - answer.encode().len());
    }
}

/// A message to the process manager, and its answers.
pub(crate) fn process_manager(bytes: &[u8]) {
    match ProcMessage::parse(bytes) {
        Ok(ProcMessage::Register(register)) => {
            let again = register.to_bytes().expect("what was parsed can be encoded");
            assert_eq!(
                ProcMessage::parse(&again),
                Ok(ProcMessage::Register(register))
            );
        }
        Ok(ProcMessage::Unregister(unregister)) => assert_eq!(unregister.to_bytes(), bytes),
        Ok(ProcMessage::Query(query)) => assert_eq!(query.to_bytes(), bytes),
        Err(_) => {}
    }
    let _ = RegistrationId::parse_reply(bytes);
    let _ = parse_page::<NameEntry>(bytes);
    let _ = parse_page::<ProcessEntry>(bytes);
    let _ = parse_page::<ChannelEntry>(bytes);
    let _ = parse_page::<CountersEntry>(bytes);
    let _ = parse_page::<BlockedEntry>(bytes);
}
